#!/usr/bin/env python3
"""A stand-in for Azure DevOps, as far as its documentation, its agent's source and what others observed say: the agent
pool's endpoints that Mayfly calls, those that an agent calls, and Entra's token endpoint. It is a stand-in, and no proof
about the real service; what the documentation leaves open it does in one way or another by chance, so that nothing
relies on the way it happens to be.

    azure_devops_server.py [PORT]     prints "http://127.0.0.1:PORT" and serves until its stdin is closed

Tests drive it by POST /_test/WORD with a JSON object; the C++ contract suite and the end-to-end tests both do.
"""
import base64
import hashlib
import http.server
import json
import random
import re
import sys
import threading
import time
import urllib.parse
import uuid

PAT = "pat-0123456789abcdefghijklmnopqrstuvwxyz"
CLIENT_SECRET = "entra-client-secret-0123456789"
FALLBACK = "weak-0123456789abcdefghijklmnopqrstuvwxyz"  # of an agent that registers itself
ORGANIZATION, TENANT, CLIENT = "acme", "tenant-1", "client-1"
POOL, POOL_NAME, OTHER_POOL = 7, "linux", 8
SIGN_IN = "<!DOCTYPE html><html><title>Azure DevOps Services | Sign In</title></html>"
OUTCOMES = {"succeeded": "succeeded", "failed": "failed", "cancelled": "canceled", "abandoned": "abandoned",
            "skipped": "skipped", "issues": "succeededWithIssues"}
SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")


def stamp():
    t = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) + f".{int(t % 1 * 1e7):07d}Z"


def number(text):
    return int.from_bytes(base64.b64decode(text), "big")


def verify(public_key, signed, signature):
    """RSASSA-PKCS1-v1_5 with SHA-256, by arithmetic alone."""
    n, e = number(public_key["modulus"]), number(public_key["exponent"])
    size = (n.bit_length() + 7) // 8
    plain = pow(int.from_bytes(signature, "big"), e, n).to_bytes(size, "big")
    digest = SHA256_PREFIX + hashlib.sha256(signed).digest()
    return plain == b"\x00\x01" + b"\xff" * (size - 3 - len(digest)) + b"\x00" + digest


def unbase64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def odd(value):
    """The same, as a later version might say it: members in another order, and more of them than are known."""
    if isinstance(value, list):
        return [odd(v) for v in value]
    if not isinstance(value, dict):
        return value
    return {"newer": {"deep": [1, None, {}]}, "newerNull": None} | {k: odd(v) for k, v in reversed(value.items())}


class World:
    def __init__(self):
        self.lock = threading.Condition()
        self.random = random.Random(4711)
        self.preview = bool(random.getrandbits(1))  # which of the two the service has is not known
        self.agents, self.requests, self.sessions, self.tokens = {}, {}, {}, {}
        self.next_agent, self.next_request, self.page = 100, 1, 100
        self.pat, self.client_secret, self.entra_tokens, self.fault = PAT, CLIENT_SECRET, set(), "none"
        self.refuse = None       # a status: registrations but an agent's own are refused with it; "no-identity": made without one
        self.strict = False      # as the service: a job that no agent of the pool could take fails at once
        self.second_job = False  # as the service: an agent may be assigned another job as soon as its first has ended
        self.auto_update, self.skew = False, 0
        self.seen = []           # "METHOD path"
        self.statuses = []       # "PROJECT/REPOSITORY COMMIT STATE CONTEXT DESCRIPTION"
        self.leaks = []          # where a credential was found that should not be there

    # What the service does by itself.
    def capabilities(self, agent):
        both = {**agent["systemCapabilities"], **agent["userCapabilities"]}
        return {k.lower(): str(v).lower() for k, v in both.items()}

    def matches(self, agent, request):
        have = self.capabilities(agent)
        for demand in request["demands"]:
            m = re.fullmatch(r"(\S+)(?: -(equals|gtVersion) (.*))?", demand)
            name, operation, value = m[1].lower(), m[2], (m[3] or "").lower()
            if name == "agent.version":
                old = [int(x) for x in agent["version"].split(".")] < [int(x) for x in value.split(".")]
                if old:
                    return False
            elif name not in have or (operation == "equals" and have[name] != value):
                return False
        return True

    def queue(self, demands=(), id=None, seconds=0.3):
        if id is None:
            id, self.next_request = self.next_request, self.next_request + 1
        r = {"requestId": int(id), "queueTime": stamp(), "assignTime": None, "receiveTime": None, "finishTime": None,
             "result": None, "jobId": str(uuid.uuid4()), "planId": str(uuid.uuid4()), "poolId": POOL, "agent": None,
             "demands": ["Agent.Version -gtVersion 2.163.1", *demands], "priority": 0, "seconds": seconds}
        if self.strict and not any(self.matches(a, r) for a in self.agents.values()):
            r |= {"result": "failed", "finishTime": stamp()}
        self.requests[r["requestId"]] = r
        self.assign()
        return r["requestId"]

    def assigned_to(self, id):
        return [r for r in self.requests.values() if r["agent"] == id and r["result"] is None]

    def assign(self):
        for r in self.requests.values():
            if r["result"] is None and r["agent"] is None:
                for a in self.agents.values():
                    if (a["status"] == "online" and a["enabled"] and not self.assigned_to(a["id"]) and self.matches(a, r)
                            and (self.second_job or not a["had"])):
                        r |= {"agent": a["id"], "assignTime": stamp()}
                        break
        self.lock.notify_all()

    def end(self, r, result):
        r |= {"result": result, "finishTime": stamp()}
        if r["agent"] in self.agents:
            self.agents[r["agent"]]["had"].append(r["requestId"])
        self.assign()

    def go_offline(self, id):
        """Its session is over: what it was assigned and has not begun goes back to the queue, what it had begun is lost."""
        if id in self.agents:
            self.agents[id]["status"] = "offline"
        for r in self.assigned_to(id):
            if r["receiveTime"]:
                self.end(r, "abandoned")
            else:
                r |= {"agent": None, "assignTime": None}
        self.assign()

    def register(self, body):
        if any(a["name"].lower() == body["name"].lower() for a in self.agents.values()):
            return None
        id, self.next_agent = self.next_agent, self.next_agent + 1
        key = (body.get("authorization") or {}).get("publicKey")
        if key:
            assert len(base64.b64decode(key["modulus"])) == 256 and base64.b64decode(key["exponent"]) == b"\x01\x00\x01"
        a = {"id": id, "name": body["name"], "version": body.get("version", ""), "enabled": body.get("enabled", True),
             "status": "offline", "systemCapabilities": body.get("systemCapabilities") or {},
             # Whether a registration may bring these is not documented.
             "userCapabilities": (body.get("userCapabilities") or {}) if self.random.random() < 0.5 else {},
             "key": key, "clientId": str(uuid.uuid4()), "had": []}
        self.agents[id] = a
        return a

    # What it says.
    def shown(self, o, optional=()):
        """Members in any order, with more of them than one knows, and what is empty either null or missing."""
        o = {**o, "_links": o.get("_links") or {"self": {"href": "https://x/y"}}, "x-unknown": {"a": [1, None, {"b": 2}]}}
        items = [(k, v) for k, v in o.items() if not (k in optional and v is None and self.random.random() < 0.5)]
        self.random.shuffle(items)
        return dict(items)

    def show_request(self, r, with_matches):
        o = {k: r[k] for k in ("requestId", "queueTime", "assignTime", "receiveTime", "finishTime", "result", "jobId",
                               "planId", "poolId", "priority", "demands")}
        a = self.agents.get(r["agent"])
        o["reservedAgent"] = self.shown({"id": a["id"], "name": a["name"], "status": a["status"]}) if a else None
        o["definition"] = {"id": 3, "name": "nightly"}
        o["owner"] = {"id": r["requestId"], "name": f"2026.{r['requestId']}",
                      "_links": {"web": {"href": f"https://dev.azure.com/acme/p/_build/results?buildId={r['requestId']}"}}}
        if with_matches and not a:
            o["matchedAgents"] = [{"id": m["id"], "name": m["name"]} for m in self.agents.values() if self.matches(m, r)]
        return self.shown(o, ("assignTime", "receiveTime", "finishTime", "result", "reservedAgent", "priority"))

    def show_agent(self, a, query, created=False):
        o = {k: a[k] for k in ("id", "name", "version", "enabled", "status")} | {"maxParallelism": 1}
        if query.get("includecapabilities") == "true":
            o |= {"systemCapabilities": a["systemCapabilities"], "userCapabilities": a["userCapabilities"]}
        if created:
            o["userCapabilities"] = a["userCapabilities"]
            if a["key"] and self.refuse != "no-identity":
                o["authorization"] = {"clientId": a["clientId"], "authorizationUrl": self.url + "/_oauth/token",
                                      "publicKey": a["key"]}
        if query.get("includeassignedrequest") == "true":
            assigned = self.assigned_to(a["id"])
            o["assignedRequest"] = self.show_request(assigned[0], False) if assigned else None
        if query.get("includelastcompletedrequest") == "true":
            o["lastCompletedRequest"] = self.show_request(self.requests[a["had"][-1]], False) if a["had"] else None
        return self.shown(o, ("assignedRequest", "lastCompletedRequest"))

    def credentials_in(self, text, agent):
        """Kinds of all credentials in it but this agent's own."""
        kinds = {"the token": [self.pat], "the fallback's token": [FALLBACK], "the service principal's secret": [self.client_secret],
                 "Entra's token": self.entra_tokens, "another agent's token": [t for t, a in self.tokens.items() if a != agent],
                 "another agent's key": [a["key"]["modulus"] for a in self.agents.values() if a["key"] and a["id"] != agent]}
        return [kind for kind, words in kinds.items()
                for w in words if w in text or base64.b64encode(f":{w}".encode()).decode() in text]

    # What tests ask for.
    def test(self, word, o):
        if word == "queue":
            return {"id": self.queue(**o)}
        if word == "looked":
            self.leaks += [f"in the builder of agent {o['agent']}: {what}" for what in self.credentials_in(o["text"], o["agent"])]
            return {}
        if word == "take":
            a = next((a for a in self.agents.values() if a["name"] == o["runner"]), None)
            r = self.requests.get(int(o["id"]))
            if not a or not r or r["result"] or r["agent"] or (a["had"] and not o.get("second")):
                return {"ok": False}
            a["status"] = "online"
            r |= {"agent": a["id"], "assignTime": stamp(), "receiveTime": None if o.get("second") else stamp()}
            return {"ok": True}
        if word == "end":
            self.end(self.requests[int(o["id"])], OUTCOMES[o["outcome"]])
        elif word == "vanish":
            self.requests.pop(int(o["id"]))
        elif word == "offline":
            self.go_offline(next(a["id"] for a in self.agents.values() if a["name"] == o["runner"]))
        elif word == "register":
            self.register({"name": o["name"], "version": "2.200.0"})
        elif word == "forget":
            self.agents = {}
        elif word == "rotate":
            self.pat, self.client_secret, self.entra_tokens = o.get("pat", self.pat), o.get("client_secret", self.client_secret), set()
        elif word == "set":
            for k, v in o.items():
                assert hasattr(self, k), k
                setattr(self, k, v)
            if self.fault == "credential_expired":
                self.entra_tokens = set()
        self.lock.notify_all()
        agents = [{k: a[k] for k in ("id", "name", "enabled", "status", "userCapabilities", "had")} for a in self.agents.values()]
        return {"agents": agents, "requests": list(self.requests.values()), "seen": self.seen, "leaks": self.leaks,
                "statuses": self.statuses}


class Refused(Exception):
    def __init__(self, status, message="", **headers):
        super().__init__(message)
        self.status, self.headers = status, headers


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave together: else each answer waits for a delayed acknowledgement
    world = None

    def log_message(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        return super().date_time_string((timestamp or time.time()) + self.world.skew)

    def answer(self, status, body, kind="application/json; charset=utf-8", **headers):
        raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(raw)))
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.end_headers()
        if status != 204:
            self.wfile.write(raw)

    def serve(self):
        w = self.world
        url = urllib.parse.urlsplit(self.path)
        query = {k.lower(): v[0] for k, v in urllib.parse.parse_qs(url.query, keep_blank_values=True).items()}
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with w.lock:
            if url.path.startswith("/_test/"):
                return self.answer(200, w.test(url.path[len("/_test/"):], json.loads(raw or b"{}")))
            w.seen.append(f"{self.command} {url.path}")
            try:
                if self.faulty(url.path):
                    return
                status, body, headers = self.route(url.path, query, raw)
                if w.fault == "odd":
                    body = odd(body)
                elif w.fault == "limit_reached" and "oauth" not in url.path:
                    headers = {**headers, "X_RateLimit_Remaining": "0", "X_RateLimit_Delay": "3.5", "X_RateLimit_Resource": "core"}
                text = json.dumps(body)
                if w.random.random() < 0.3:
                    text = "\ufeff" + text
                if w.fault == "truncated" and "_oauth" not in url.path:
                    text = text[:len(text) // 2]
                elif w.fault == "empty":
                    text = ""
                self.answer(status, text, **headers)
            except Refused as e:
                self.answer(e.status, {"$id": "1", "message": str(e), "typeKey": "X"} if e.status != 204 else b"", **e.headers)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve

    def faulty(self, path):
        w = self.world
        if w.fault == "throttled":
            self.answer(429, {"message": "slow down"}, Retry_After="7", X_RateLimit_Remaining="0", X_RateLimit_Delay="7")
        elif w.fault == "server_error":
            self.answer(503, "<html>The service is unavailable</html>", "text/html")
        elif w.fault == "not_json":
            self.answer(203, SIGN_IN, "text/html")
        elif w.fault == "hangs":
            self.close_connection = True
            w.lock.wait_for(lambda: w.fault != "hangs", 20)
        else:
            return False
        return True

    def signed_in(self):
        """"admin" for the token or service principal, an agent's id for its own token."""
        w, header = self.world, self.headers.get("Authorization", "")
        kind, _, value = header.partition(" ")
        if kind == "Basic" and base64.b64decode(value).decode() == ":" + w.pat and w.fault != "credential_expired":
            return "admin"
        if kind == "Basic" and base64.b64decode(value).decode() == ":" + FALLBACK:
            return "registrar"
        if kind == "Bearer" and value in w.entra_tokens:
            return "admin"
        if kind == "Bearer" and value in w.tokens and w.tokens[value] in w.agents:
            return w.tokens[value]
        if kind == "Basic" and w.random.random() < 0.5:
            raise Refused(302, Location="https://spsprodeus1.vssps.visualstudio.com/_signin")
        raise Refused(401, "TF400813: The user is not authorized to access this resource.")

    def route(self, path, query, raw):
        w = self.world
        if path == f"/{TENANT}/oauth2/v2.0/token":
            return 200, self.entra(raw), {}
        if path == "/_oauth/token":
            return 200, self.agent_token(raw), {}
        who = self.signed_in()
        body = json.loads(raw) if raw else None
        base = f"/{ORGANIZATION}/_apis/distributedtask"
        if path.startswith(f"/{ORGANIZATION}/") and "/_apis/git/" in path:
            return self.commit_status(path, body, who)
        if not path.startswith(base):
            if m := re.fullmatch(r"/acme/p/_apis/distributedtask/hubs/build/plans/([^/]+)/events", path):
                r = next(r for r in w.requests.values() if r["planId"] == m[1])
                if r["agent"] != who:
                    raise Refused(403, "not your job")
                w.end(r, body["result"])
                return 200, {}, {}
            raise Refused(404, "no such place")
        path = path[len(base):]
        if who == "registrar" and not (self.command, path) in (("GET", "/pools"), ("POST", f"/pools/{POOL}/agents")):
            raise Refused(403, "Access denied.")
        if path == "/pools":
            pools = [{"id": POOL, "name": POOL_NAME}, {"id": OTHER_POOL, "name": "Default"}]
            found = [p for p in pools if p["name"].lower() == query.get("poolname", p["name"]).lower()]
            return 200, self.list([w.shown({**p, "isHosted": False, "autoUpdate": w.auto_update}) for p in found]), {}
        if not (m := re.fullmatch(r"/pools/(\d+)/(\w+)(?:/([\w-]+))?(?:/(\w+))?", path)) or int(m[1]) != POOL:
            raise Refused(404, "TF400: no such pool")
        what, id, more = m[2], m[3], m[4]
        if what == "jobrequests" and who == "admin":
            return self.job_requests(query)
        if what == "agents" and who in ("admin", "registrar"):
            if who == "admin" and isinstance(w.refuse, int) and self.command == "POST" and (body.get("authorization") or {}).get("publicKey"):
                raise Refused(w.refuse, "registration is not allowed here")
            return 200, self.agents(query, id, more, body), {}
        if what in ("sessions", "messages") and who != "admin":
            return 200, getattr(self, what)(who, query, id, body), {}
        raise Refused(403, "Access denied. Manage permissions are required.")

    def commit_status(self, path, body, who):
        m = re.fullmatch(r"/acme/([^/]+)/_apis/git/repositories/([^/]+)/commits/([0-9a-f]{40})/statuses", path)
        project, repository, commit = map(urllib.parse.unquote, m.groups()) if m else (None, None, None)
        if who != "admin":
            raise Refused(403, "TF401027: You need the Git 'PullRequestContribute' permission to perform this action.")
        if (self.command, project, repository) != ("POST", "acme", "the site"):
            raise Refused(404, "TF401019: The Git repository does not exist or you do not have permissions.")
        context = body["context"]
        self.world.statuses.append(f"{project}/{repository} {commit} {body['state']} {context['genre']}/{context['name']} {body['description']}")
        return 201, {"id": 1, "state": body["state"], "context": context, "targetUrl": None, "createdBy": None}, {}

    def list(self, values):
        return {"count": len(values), "value": values}

    def entra(self, raw):
        form = {k: v[0] for k, v in urllib.parse.parse_qs(raw.decode()).items()}
        if (form.get("client_id"), form.get("client_secret"), form.get("grant_type")) != (CLIENT, self.world.client_secret, "client_credentials"):
            raise Refused(401, "AADSTS7000215: Invalid client secret provided.")
        if form.get("scope") != "499b84ac-1321-427f-aa17-267ca6975798/.default":
            raise Refused(400, "AADSTS70011: The provided scope is not valid.")
        token = "entra." + uuid.uuid4().hex
        self.world.entra_tokens.add(token)
        return {"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token}

    def agent_token(self, raw):
        w = self.world
        form = {k: v[0] for k, v in urllib.parse.parse_qs(raw.decode()).items()}
        header, claims, signature = form["client_assertion"].split(".")
        said = json.loads(unbase64url(claims))
        agent = next((a for a in w.agents.values() if a["clientId"] == said["sub"]), None)
        if not agent or said["iss"] != said["sub"] or said["aud"] != w.url + "/_oauth/token":
            raise Refused(400, "invalid_client: nobody of that name")
        if not verify(agent["key"], f"{header}.{claims}".encode(), unbase64url(signature)):
            raise Refused(400, "invalid_client: the signature is not of the registered key")
        if not said["nbf"] <= time.time() + w.skew + 300 or not time.time() + w.skew <= said["exp"] + 300:
            raise Refused(400, "The bearer token expired. Current server time is …")
        token = "agent." + uuid.uuid4().hex
        w.tokens[token] = agent["id"]
        return {"access_token": token, "token_type": "JWT", "expires_in": 3000}

    def job_requests(self, query):
        w = self.world
        if "$top" in query:
            raise Refused(400, "this stand-in expects nobody to ask so")
        over = [r for r in w.requests.values() if r["result"]][::-1]
        shown = [r for r in w.requests.values() if not r["result"]] + over[:int(query.get("completedrequestcount", 25))]
        if "agentids" in query:
            shown = [r for r in shown if str(r["agent"]) in query["agentids"].split(",")]
        begin = int(query.get("continuationtoken", 0))
        page = [w.show_request(r, True) for r in shown[begin:begin + w.page]]
        more = {"x_ms_continuationtoken": str(begin + w.page)} if begin + w.page < len(shown) else {}
        return 200, self.list(page), more

    def agents(self, query, id, more, body):
        w = self.world
        if not id and self.command == "GET":
            name = query.get("agentname")
            return self.list([w.show_agent(a, query) for a in w.agents.values() if name is None or a["name"].lower() == name.lower()])
        if not id and self.command == "POST":
            a = w.register(body)
            if not a:
                raise Refused(409, f"Pool already contains an agent with name {body['name']}.")
            w.assign()
            return w.show_agent(a, query, created=True)
        a = w.agents.get(int(id))
        if not a:
            raise Refused(404, f"No agent found with identifier {id}.")
        if more == "usercapabilities" and self.command == "PUT":
            if ("preview" in query["api-version"]) != w.preview:
                raise Refused(400, "VssVersionNotSpecifiedException or its opposite: the requested version is not this one")
            a["userCapabilities"] = body
            w.assign()
        elif self.command == "PATCH":
            a["enabled"] = body["enabled"]
        elif self.command == "DELETE":
            if any(r["receiveTime"] for r in w.assigned_to(a["id"])) and a["status"] == "online":
                raise Refused(400, "The agent is currently running a job.")
            w.go_offline(a["id"])
            del w.agents[a["id"]]
            raise Refused(204)
        return w.show_agent(a, query)

    # The agent's side.
    def sessions(self, who, query, id, body):
        w = self.world
        if self.command == "DELETE":
            w.sessions.pop(id, None)
            w.go_offline(who)
            return {}
        if who in w.sessions.values():
            raise Refused(409, "The agent already has an active session.")
        session = str(uuid.uuid4())
        w.sessions[session] = who
        for k, v in (body.get("systemCapabilities") or {}).items():
            # Of its environment nothing: not what might be secret there, and nothing else either.
            if w.pat in str(v) or w.client_secret in str(v) or not k.startswith("Agent."):
                w.leaks.append(f"capability {k}")
        w.agents[who] |= {"status": "online", "systemCapabilities": body.get("systemCapabilities") or {}}
        w.assign()
        return {"sessionId": session, "ownerName": body.get("ownerName")}

    def messages(self, who, query, id, body):
        w = self.world
        if w.sessions.get(query.get("sessionid")) != who:
            raise Refused(404, "no such session")
        if self.command == "DELETE":
            w.requests[int(id)]["receiveTime"] = stamp()
            return {}
        w.lock.wait_for(lambda: who not in w.agents or any(not r["receiveTime"] for r in w.assigned_to(who)), 5)
        waiting = [r for r in w.assigned_to(who) if not r["receiveTime"]]
        if not waiting:
            return {}
        r = waiting[0]
        return {"messageId": r["requestId"], "messageType": "PipelineAgentJobRequest",
                "body": json.dumps({"requestId": r["requestId"], "jobId": r["jobId"], "plan": {"planId": r["planId"]},
                                    "seconds": r["seconds"]})}


class Service(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A daemon that is killed takes its connections with it: nothing to tell of."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def main():
    world = Handler.world = World()
    server = Service(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 0), Handler)
    world.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(world.url, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
