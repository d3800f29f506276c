#!/usr/bin/env python3
"""How builds of images stand is told to a real HTTP server, also to one that hangs, fails, or is away for a while."""
import contextlib
import hashlib
import hmac
import http.server
import json
import subprocess
import threading

from harness import Daemon, Scratch, busybox_image, case, check, equal, main, needs_containers, wait_for
from github_server import TOKEN, GitHub
from recipes import Repository, build, stored

CONFIG = """\
images:
  tool: {{repository: repo, recipe: images/tool, try: ["test -s /word"], approvals: {approvals}}}
pools:
  p: {{image: {busybox}, network: none, builders: {{max: 2, memory: 128MiB, disk: 32MiB, pids: 64}}}}
report: {{url: "http://{address}/hook?team=tools", secret: report-key, timeout: 500ms}}
secrets:
  report-key: {{file: key}}
"""
KEY = b"a key of the test"

BY_GITHUB = """\
images:
  tool: {{repository: repo, recipe: images/tool, try: ["test -s /word"], commit_status: {{pool: actions, repository: acme/site}}}}
pools:
  p: {{image: {busybox}, network: none, builders: {{max: 2, memory: 128MiB, disk: 32MiB, pids: 64}}}}
  actions:
    image: {busybox}
    network: none
    builders: {{max: 2, memory: 128MiB, disk: 32MiB, pids: 64}}
    ci: {{github: {{url: "{url}/acme", token: github, labels: [mayfly]}}}}
secrets:
  github: {{file: key}}
"""


class Receiver:
    """Takes reports. `answers` are what it says to those that a build was `of`: a status, or "hang"; to all others 204."""

    def __init__(self, *answers, of="released"):
        self.answers, self.of, self.got, self.over, self.port = list(answers), of, [], threading.Event(), 0

    def __enter__(self):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                meant = receiver.answers and json.loads(body)["status"] == receiver.of
                status = receiver.answers.pop(0) if meant else 204
                receiver.got.append((self.path, dict(self.headers), body, status))
                if status == "hang":
                    receiver.over.wait()
                else:
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()

    def taken(self):
        return [json.loads(body)["status"] for _, _, body, status in self.got if status == 204]


@contextlib.contextmanager
def world(receiver=None, approvals=0, config=None, key=KEY):
    needs_containers()
    with Scratch() as folder:
        repository = Repository(folder)
        repository.write(Dockerfile=f"FROM {busybox_image()}\nCOPY word /word\nLABEL test={folder.name}\n", word="one\n")
        repository.commit("the first")
        (folder / "key").write_bytes(key + b"\n")
        (folder / "key").chmod(0o600)
        before = stored()
        try:
            config = config or CONFIG.format(approvals=approvals, busybox=busybox_image(), address=f"127.0.0.1:{receiver.port}")
            d = Daemon(folder, config=config)
            d.repository = repository
            with d:
                yield d
            equal(d.remains(), [])
        finally:
            if new := stored() - before:
                subprocess.run(["buildah", "rmi", "--force", *new], capture_output=True)


def told(d, receiver, *words):
    wait_for(lambda: f"{words}: {receiver.got}; {d.said()}", lambda: receiver.taken() == list(words))


@case
def every_status_of_a_commit_is_told_signed():
    with Receiver() as r, world(r, approvals=1) as d:
        b, said, _ = build(d)
        equal(b["state"], "waiting", said)
        told(d, r, "building", "testing", "needs-approval")
        equal(d.cli("image", "approve", "tool", str(b["id"])).returncode, 0)
        told(d, r, "building", "testing", "needs-approval", "releasing", "released")
        for path, headers, body, _ in r.got:
            equal(path, "/hook?team=tools")
            equal(headers["X-Mayfly-Signature-256"], "sha256=" + hmac.new(KEY, body, hashlib.sha256).hexdigest())
            report = json.loads(body)
            equal(headers["X-Mayfly-Delivery"], f"build-{b['id']}-{report['status']}")
            equal((report["image"], report["commit"], report["ref"]), ("tool", d.repository.git("rev-parse", "HEAD"), "main"))
        equal((report["version"], report["over"]), ("1.0.0", True))
        check("image approve tool" in json.loads(r.got[2][2])["description"], r.got[2])
        d.repository.write(Dockerfile="FROM scratch\nRUNN true\n")
        d.repository.commit("a slip")
        equal(build(d)[0]["state"], "failed")
        wait_for(lambda: r.got, lambda: r.taken()[-1] == "failed")
        check("Dockerfile" in json.loads(r.got[-1][2])["description"], r.got[-1])


@case
def one_that_hangs_or_fails_is_told_again_and_holds_no_build_up():
    with Receiver("hang", 500) as r, world(r) as d:
        equal(build(d)[0]["state"], "released")
        wait_for(lambda: f"{r.got}; {d.said()}", lambda: r.taken()[-1:] == ["released"])
        tries = r.got[-3:]
        equal([status for *_, status in tries], ["hang", 500, 204])
        equal(len({(headers["X-Mayfly-Delivery"], body) for _, headers, body, _ in tries}), 1, "the very same report")
        kinds = [e["kind"] for e in d.get("/v1/ledger?subject=build/1")["entries"]]
        check("build.reported" in kinds and "build.report-failed" not in kinds, kinds)


@case
def one_that_refuses_is_left_alone_and_the_ledger_says_so():
    with Receiver(401, 204) as r, world(r) as d:
        equal(build(d)[0]["state"], "released")
        failed = lambda: [e for e in d.get("/v1/ledger?subject=build/1")["entries"] if e["kind"] == "build.report-failed"]
        wait_for(lambda: f"{failed()}; {d.said()}", lambda: any('"released"' in e["detail"] for e in failed()))
        equal(r.answers, [204], "it was not tried again")
        check("401" in failed()[0]["detail"], failed())


@case
def the_next_daemon_tells_what_a_killed_one_could_not():
    r = Receiver()
    with r:
        pass  # its port is known, and nobody listens there
    with world(r) as d:
        equal(build(d)[0]["state"], "released")
        d.kill()
        with r:
            d.start()
            wait_for(lambda: f"{r.got}; {d.said()}", lambda: r.taken() == ["released"])
            equal(d.get("/v1/builds/1").get("report"), None)


@case
def the_git_host_shows_how_the_builds_of_a_commit_stand():
    github = GitHub()
    try:
        with world(config=BY_GITHUB.format(busybox=busybox_image(), url=github.url), key=TOKEN.encode()) as d:
            equal(build(d)[0]["state"], "released")
            shown = lambda: [body["state"] for _, _, body in github.statuses]
            wait_for(lambda: f"{github.statuses}; {d.said()}", lambda: shown()[-1:] == ["success"])
            check(set(shown()[:-1]) <= {"pending"}, shown())
            where = {(repository, commit, body["context"]) for repository, commit, body in github.statuses}
            equal(where, {("acme/site", d.repository.git("rev-parse", "HEAD"), "mayfly/tool")})
            equal(github.statuses[-1][2]["description"], "tool 1.0.0 is released")
            d.repository.write(word="")
            d.repository.commit("a slip")
            equal(build(d)[0]["state"], "failed")
            wait_for(lambda: f"{github.statuses}; {d.said()}", lambda: shown()[-1] == "failure")
            equal(github.statuses[-1][1], d.repository.git("rev-parse", "HEAD"))
            check("trial" in github.statuses[-1][2]["description"], github.statuses[-1])
            kinds = [e["kind"] for e in d.get("/v1/ledger?subject=build/2")["entries"]]
            check("build.status-failed" not in kinds, kinds)
    finally:
        github.close()


main()
