"""A stand-in for GitHub, written from docs.github.com: the endpoints of its REST API that Mayfly uses, and, since the real
one is not documented, a broker of its own that the stand-in for GitHub's runner (RUNNER below) talks to. It shows how the
parts work together; it is no proof about the real service.
"""
import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import re
import secrets
import subprocess
import threading
import time
import urllib.parse

from azure_devops_server import unbase64url, verify

TOKEN = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"
APP, INSTALLATION = "Iv23liAbCdEf", 55
HOOK_SECRET = "It's a Secret to Everybody"

# In place of bin/Runner.Listener: reads its configuration as the real one does, waits for one job, runs it, ends. What the
# real one does over HTTPS with keys it does with busybox's wget and a token that is good for this runner only.
RUNNER = r"""#!/bin/sh
[ "$*" = run ] || { echo "unexpected arguments: $*"; exit 2; }
config=$(printf %s "$ACTIONS_RUNNER_INPUT_JITCONFIG" | base64 -d)
unset ACTIONS_RUNNER_INPUT_JITCONFIG
server=$(printf %s "$config" | sed 's/.*"server": *"\([^"]*\)".*/\1/')
token=$(printf %s "$config" | sed 's/.*"token": *"\([^"]*\)".*/\1/')
say() { wget -q -O - --header "Authorization: Bearer $token" --post-data "$2" "$server/_runner/$1"; }
echo "Listening for Jobs"
while :; do
  script=$(say next "") || { echo "this runner is not registered"; exit 1; }
  [ -z "$script" ] || break
done
echo "Running job"
say env "$(env)"
if sh -c "$script"; then result=success; else result=failure; fi
say done "$result" || exit 2
echo "Job completed with result: $result"
"""


class AppKey:
    """An App's private key, as GitHub gives it out."""

    def __init__(self):
        self.pem = subprocess.run(["openssl", "genrsa", "-traditional", "2048"], check=True, capture_output=True, text=True).stdout
        said = subprocess.run(["openssl", "rsa", "-noout", "-modulus"], check=True, capture_output=True, text=True, input=self.pem).stdout
        modulus = bytes.fromhex(said.strip().partition("=")[2])
        self.public = {"modulus": base64.b64encode(modulus).decode(), "exponent": "AQAB"}

    def signed(self, token):
        try:
            header, claims, signature = token.split(".")
            said, now = json.loads(unbase64url(claims)), time.time()
            return (json.loads(unbase64url(header))["alg"] == "RS256" and said["iss"] == APP and said["iat"] <= now < said["exp"] <= now + 600
                    and verify(self.public, f"{header}.{claims}".encode(), unbase64url(signature)))
        except (ValueError, KeyError):
            return False


def stamp(t):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(t)) if t else None


class GitHub:
    """Serves until close(). Everything about it may be read and changed under `lock`."""

    def __init__(self):
        self.lock = threading.Condition()
        self.jobs, self.runners, self.environments = {}, {}, {}
        self.next_runner, self.next_job, self.asked, self.broken = 20, 1001, [], False
        self.hangs, self.held = False, 0  # and how many requests wait for an answer
        self.statuses = []  # (repository, commit, body)
        self.given_to = {}  # runner → its credentials
        self.app_key, self.app_tokens = None, set()  # the App's, once it is there, and what it signed in with or was given
        self.installation_tokens = {}  # token → until when it is good
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_one(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                target = urllib.parse.urlsplit(self.path)
                status, answer, headers = server.answer(self.command, target.path, dict(urllib.parse.parse_qsl(target.query)),
                                                        self.headers, body)
                text = answer if isinstance(answer, str) else json.dumps(answer)
                self.send_response(status)
                for k, v in headers.items():
                    self.send_header(k, v)
                if status != 204:
                    self.send_header("Content-Type", "application/json; charset=utf-8")
                    self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                if status != 204:
                    self.wfile.write(text.encode())

            do_GET = do_POST = do_DELETE = handle_one

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # a daemon that was killed breaks its connections off

        self.http = Server(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    # What a test does and looks at.
    def queue(self, script="echo hello", labels=("self-hosted", "mayfly"), repository="acme/site"):
        with self.lock:
            id = self.next_job
            self.next_job += 1
            self.jobs[id] = {"id": id, "run_id": 500000 + id, "repository": repository, "labels": list(labels), "script": script,
                             "status": "queued", "conclusion": None, "runner": None, "queued": time.time(), "started": None,
                             "ended": None, "outputs": 0}
            self.lock.notify_all()
            return id

    def job(self, id):
        with self.lock:
            return dict(self.jobs[id])

    def cancel(self, id):
        with self.lock:
            if self.jobs[id]["status"] == "queued":
                self.jobs[id].update(status="completed", conclusion="cancelled", ended=time.time())

    def registered(self):
        with self.lock:
            return sorted(r["name"] for r in self.runners.values())

    def make_app(self):
        """Gives the private key."""
        self.app_key = AppKey()
        return self.app_key.pem

    @contextlib.contextmanager
    def hanging(self):
        """No request to the API is answered before the end of this."""
        with self.lock:
            self.hangs = True
        try:
            yield
        finally:
            with self.lock:
                self.hangs = False
                self.lock.notify_all()

    @property
    def given(self):
        return [secret for given in self.given_to.values() for secret in given]

    def secrets(self):
        """All credentials but the runners' own."""
        with self.lock:
            lines = [line for line in self.app_key.pem.splitlines() if len(line) == 64] if self.app_key else []
            return [TOKEN, HOOK_SECRET, *lines, *self.app_tokens, *self.installation_tokens]

    def register(self, name):
        """A registration that nobody serves."""
        with self.lock:
            self.next_runner += 1
            self.runners[self.next_runner] = {"id": self.next_runner, "name": name, "labels": ["mayfly"], "job": None,
                                              "token": f"none-{self.next_runner}"}

    def delivery(self, id, action="queued"):
        """Headers and body of the webhook for this job, signed."""
        with self.lock:
            job = self.as_job(self.jobs[id])
            repository = self.jobs[id]["repository"]
        body = json.dumps({"action": action, "workflow_job": job, "repository": {"full_name": repository, "id": 1},
                           "organization": {"login": "acme"}, "sender": {"login": "octocat"}, "installation": None})
        signature = hmac.new(HOOK_SECRET.encode(), body.encode(), hashlib.sha256).hexdigest()
        return {"X-GitHub-Event": "workflow_job", "X-GitHub-Delivery": f"guid-{id}-{action}", "X-Hub-Signature-256": "sha256=" + signature,
                "Content-Type": "application/json"}, body

    # The server's side.
    def as_job(self, j):
        return {"id": j["id"], "run_id": j["run_id"], "run_attempt": 1, "name": "build", "workflow_name": "CI", "status": j["status"],
                "conclusion": j["conclusion"], "labels": j["labels"], "runner_id": 1 if j["runner"] else None,
                "runner_name": j["runner"], "created_at": stamp(j["queued"]), "started_at": stamp(j["started"] or j["queued"]),
                "completed_at": stamp(j["ended"]), "steps": [],
                "html_url": f"https://github.com/{j['repository']}/actions/runs/{j['run_id']}/job/{j['id']}"}

    def as_runner(self, r):
        return {"id": r["id"], "name": r["name"], "os": "unknown", "status": "online", "busy": bool(r["job"]), "ephemeral": True,
                "labels": [{"name": l, "type": "custom"} for l in r["labels"]]}

    def answer(self, method, path, query, headers, body):
        if path.startswith("/_runner/"):
            return self.runner(path[9:], headers, body)
        with self.lock:
            self.held += 1
            self.lock.wait_for(lambda: not self.hangs)
            self.held -= 1
            if self.broken:
                return 503, "<html>Unicorn!</html>", {}
            if not path.startswith("/api/v3/"):
                return 404, {"message": "Not Found"}, {}
            path = path[7:]
            self.asked.append(f"{method} {path}")
            if not headers.get("User-Agent"):
                return 403, {"message": "Request forbidden by administrative rules."}, {}
            bearer = (headers.get("Authorization") or "").removeprefix("Bearer ")
            if path.startswith("/app/") or path.endswith("/installation"):
                if not self.app_key or not self.app_key.signed(bearer):
                    return 401, {"message": "A JSON web token could not be decoded"}, {}
                self.app_tokens.add(bearer)
                return self.as_app(method, path, query)
            if bearer != TOKEN and self.installation_tokens.get(bearer, 0) < time.time():
                return 401, {"message": "Bad credentials"}, {}
            return self.route(method, path, query, body)

    def as_app(self, method, path, query):
        if path == "/orgs/acme/installation":
            return 200, {"id": INSTALLATION, "account": {"login": "acme"}}, {}
        if (method, path) == ("POST", f"/app/installations/{INSTALLATION}/access_tokens"):
            token, until = f"ghs_{secrets.token_hex(18)}", time.time() + 3600
            self.installation_tokens[token] = until
            return 201, {"token": token, "expires_at": stamp(until), "permissions": {"actions": "read"}}, {}
        if path == "/app/hook/deliveries":
            return self.page(path, query, "", [])
        return 404, {"message": "Not Found"}, {}

    def page(self, path, query, name, items):
        per, at = min(int(query.get("per_page", 30)), 100), int(query.get("page", 1))
        headers = {}
        if at * per < len(items):
            more = urllib.parse.urlencode(query | {"page": at + 1})
            headers["Link"] = f'<{self.url}/api/v3{path}?{more}>; rel="next"'
        some = items[(at - 1) * per:at * per]
        return 200, {"total_count": len(items), name: some} if name else some, headers

    def status_of_run(self, run):
        states = {j["status"] for j in self.jobs.values() if j["run_id"] == run}
        return "completed" if states == {"completed"} else "queued" if states == {"queued"} else "in_progress"

    def route(self, method, path, query, body):
        if path == "/installation/repositories":
            return self.page(path, query, "repositories", [{"full_name": "acme/site", "archived": False}])
        if path == "/orgs/acme/repos":
            return self.page(path, query, "", [{"full_name": "acme/site", "archived": False}])
        if path == "/orgs/acme/actions/runners/generate-jitconfig" and method == "POST":
            return self.make_runner(json.loads(body))
        if path == "/orgs/acme/actions/runners":
            wanted = query.get("name")
            return self.page(path, query, "runners", [self.as_runner(r) for r in self.runners.values() if wanted in (None, r["name"])])
        if m := re.fullmatch(r"/orgs/acme/actions/runners/(\d+)", path):
            runner = self.runners.get(int(m[1]))
            if not runner:
                return 404, {"message": "Not Found"}, {}
            if method == "DELETE":
                if runner["job"]:
                    return 422, {"message": "Runner is currently running a job and cannot be deleted."}, {}
                del self.runners[int(m[1])]
                self.lock.notify_all()
                return 204, "", {}
            return 200, self.as_runner(runner), {}
        if path == "/repos/acme/site/actions/runs":
            runs = sorted({j["run_id"] for j in self.jobs.values()}, reverse=True)
            all = [{"id": r, "status": self.status_of_run(r), "name": None} for r in runs]
            return self.page(path, query, "workflow_runs", [r for r in all if query.get("status") in (None, r["status"])])
        if m := re.fullmatch(r"/repos/acme/site/actions/runs/(\d+)/jobs", path):
            return self.page(path, query, "jobs", [self.as_job(j) for j in self.jobs.values() if j["run_id"] == int(m[1])])
        if m := re.fullmatch(r"/repos/acme/site/actions/jobs/(\d+)", path):
            job = self.jobs.get(int(m[1]))
            return (200, self.as_job(job), {}) if job else (404, {"message": "Not Found"}, {})
        if m := re.fullmatch(r"/repos/(acme/\w+)/statuses/([0-9a-f]{40})", path):
            self.statuses.append((m[1], m[2], json.loads(body)))
            return 201, {"id": len(self.statuses), "target_url": None, "creator": None}, {}
        return 404, {"message": "Not Found"}, {}

    def make_runner(self, wanted):
        if any(r["name"] == wanted["name"] for r in self.runners.values()):
            return 409, {"message": "Already exists - A runner with the name already exists."}, {}
        self.next_runner += 1
        r = {"id": self.next_runner, "name": wanted["name"], "labels": wanted["labels"], "job": None,
             "token": hashlib.sha256(f"{wanted['name']} {self.next_runner}".encode()).hexdigest()}
        self.runners[r["id"]] = r
        config = base64.b64encode(json.dumps({"server": self.url, "token": r["token"]}).encode()).decode()
        self.given_to[r["name"]] = [r["token"], config]
        return 201, {"runner": self.as_runner(r), "encoded_jit_config": config}, {}

    def of_token(self, headers):
        token = (headers.get("Authorization") or "").removeprefix("Bearer ")
        return next((r for r in self.runners.values() if r["token"] == token), None)

    def take(self, r):
        """Any queued job that the runner's labels allow, as GitHub gives it: not the one that it was made for."""
        labels = {l.lower() for l in r["labels"]}
        for j in sorted(self.jobs.values(), key=lambda j: -j["id"]):
            if j["status"] == "queued" and {l.lower() for l in j["labels"]} <= labels:
                j.update(status="in_progress", runner=r["name"], started=time.time())
                r["job"] = j["id"]
                return j
        return None

    def runner(self, word, headers, body):
        with self.lock:
            end = time.monotonic() + 5
            while (r := self.of_token(headers)) and word == "next" and not self.take(r) and time.monotonic() < end:
                self.lock.wait(1)
            if not r:
                return 404, "", {}
            if word == "next":
                return 200, self.jobs[r["job"]]["script"] if r["job"] else "", {}
            if word == "env":
                self.environments[r["job"]] = body
                return 200, "", {}
            self.jobs[r["job"]].update(status="completed", conclusion=body, ended=time.time())
            self.jobs[r["job"]]["outputs"] += 1
            del self.runners[r["id"]]  # GitHub removes a just-in-time runner once its job has ended
            return 200, "", {}
