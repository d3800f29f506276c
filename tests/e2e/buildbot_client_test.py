#!/usr/bin/env python3
"""The latent worker for Buildbot against a Mayfly that misbehaves: a real master and real workers, and in place of the daemon
a server that answers its API as docs/cli.md's `/v1/openapi.json` says, badly wherever a case tells it to."""
import contextlib
import http.server
import json
import os
import shutil
import signal
import socketserver
import subprocess
import threading
from pathlib import Path

from buildbot_master import Master
from harness import FINAL, ROOT, Scratch, Skip, case, check, equal, main, wait_for

# Quick to try again, and a gate at which a build waits where a case has closed it.
BUILDS = """\
from mayfly_latent_worker import MayflyApi
MayflyApi.TIMEOUT, MayflyApi.PAUSES, MayflyApi.LONGEST_WAIT = {timeout}, (0.05,) * 12, 0.2
MayflyLatentWorker.LOOK_EVERY = 0.2
MayflyLatentWorker.quarantine_initial_timeout = 0.2
f = factory.BuildFactory()
f.addStep(steps.ShellCommand(command="while [ -e {gate} ]; do sleep 0.1; done"))
"""


class Mayfly:
    """Takes jobs on a unix socket and runs their workers as processes. What it does with the next requests is in `faults`,
    by "POST jobs", "GET job", "POST report"; what becomes of the next jobs in `fates`."""

    def __init__(self, folder):
        self.folder, self.socket, self.lock = folder, folder / "s", threading.Condition()
        self.jobs, self.faults, self.fates, self.token, self.refused, self.posts = {}, {}, [], None, 0, []
        mayfly = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def address_string(self):
                return "unix"

            def handle_one(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                mayfly.serve(self, self.command, self.path.partition("?")[0], json.loads(body or b"{}"))

            do_GET = do_POST = handle_one

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # whoever asked did not wait for the answer

        self.server = Server(str(self.socket), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        with self.lock:
            for job in self.jobs.values():
                self.end(job, "cancelled")

    def serve(self, handler, method, path, body):
        def say(status, text, **headers):
            raw = (text if isinstance(text, str) else json.dumps(text)).encode()
            handler.send_response(status)
            for k, v in headers.items():
                handler.send_header(k.replace("_", "-"), v)
            handler.send_header("Content-Length", str(len(raw)))
            handler.end_headers()
            handler.wfile.write(raw)

        with self.lock:
            if self.token and handler.headers.get("Authorization") != "Bearer " + self.token:
                self.refused += 1
                return say(401, {"error": {"code": "denied", "what": "a bearer token is needed", "next": None, "new": []}})
            kind = "POST jobs" if path == "/v1/jobs" else "POST report" if path.endswith("/report") else "GET job"
            waiting = self.faults.get(kind)
            fault = waiting.pop(0) if waiting else None
            if kind == "POST jobs":
                self.posts.append(body["idempotency_key"])
            if fault == "hang":
                return self.lock.wait(10)
            if fault in (500, 503):
                return say(fault, "<html>no</html>")
            if fault == 429:
                return say(429, {"error": None}, Retry_After="7")
            if fault is not None and fault != "lost":
                return say(200, fault)
            status, answer = self.route(method, path, body)
            if fault != "lost":
                say(status, answer)

    def route(self, method, path, body):
        if path == "/v1/jobs":
            job = next((j for j in self.jobs.values() if j["key"] == body["idempotency_key"]), None) or self.start(body)
            return 201, self.shown(job)
        job = self.jobs.get(int(path.split("/")[3]))
        if not job or job["fate"] == "vanish":
            return 404, {"error": {"code": "not_found", "what": "there is no such job"}}
        if method == "POST":
            if job["state"] in FINAL:
                return 409, {"error": {"code": "conflict", "what": "it has ended already"}}
            job["outcome"] = body.get("outcome", "cancelled")
            self.end(job, job["outcome"])
        return 200, self.shown(job)

    def shown(self, job):
        return {"id": job["id"], "state": job["state"], "result": None, "of_a_later_version": {"x": [1]}, "builder": None}

    def start(self, body):
        job = {"id": len(self.jobs) + 1, "key": body["idempotency_key"], "state": "running", "process": None, "outcome": None,
               "fate": self.fates.pop(0) if self.fates else None}
        self.jobs[job["id"]] = job
        if job["fate"] == "lost":
            job["state"] = "lost"
        if job["fate"] is None or job["fate"] == "freeze":
            place = self.folder / f"w{job['id']}"
            place.mkdir()
            tac = (ROOT / "images/buildbot/mayfly-buildbot-worker").read_text().replace("/usr/local/lib", str(ROOT / "images/buildbot"))
            (place / "run").write_text(tac)
            job["process"] = subprocess.Popen(["/bin/sh", place / "run"], cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                              start_new_session=True, env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1",
                                                                           **body["env"], **body["one_time_secrets"]})
        return job

    def end(self, job, state):
        if job["state"] not in FINAL:
            job["state"] = state if state in FINAL else "lost"
        if job["process"]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(job["process"].pid, signal.SIGKILL)
            job["process"].wait()
            job["process"] = None

    def outcomes(self):
        with self.lock:
            return [j["outcome"] for j in self.jobs.values()]


@contextlib.contextmanager
def world(timeout=5, settings="", faults=None, fates=()):
    for program in ("buildbot", "buildbot-worker"):
        if not shutil.which(program):
            raise Skip(f"no {program} here: apt-get install {program}")
    with Scratch() as folder:
        mayfly = Mayfly(folder)
        mayfly.faults, mayfly.fates, mayfly.gate = dict(faults or {}), list(fates), folder / "gate"
        builds = BUILDS.format(timeout=timeout, gate=mayfly.gate)
        try:
            with Master(folder, mayfly.socket, workers=4, settings=settings.format(folder=folder), builds=builds) as master:
                yield mayfly, master
        finally:
            mayfly.close()


def done(mayfly, master, wanted):
    """The last build of each request ended so."""
    wait_for(lambda: f"{wanted}, not {master.results()}: {mayfly.jobs} {master.said()[-3000:]}", lambda: master.results() == wanted, 120)


def tries(master):
    return [r for (r,) in master.ask("SELECT results FROM builds ORDER BY id")]


@case
def answers_that_fail_hang_are_lost_or_make_no_sense_cost_no_build_and_no_builder():
    bad = [503, 429, "hang", "lost", "<html>sign in</html>", "null", "[]", {}, {"id": None, "state": 7}]
    with world(timeout=1, faults={"POST jobs": list(bad), "GET job": [500, "hang", "null", {}, {"state": None}, 429],
                                  "POST report": [503, "lost", "[]"]}) as (mayfly, master):
        master.run(1)
        done(mayfly, master, [0])
        equal(tries(master), [0], "the build began once")
        equal(len(set(mayfly.posts)), 1, "all were tries of the same submission")
        wait_for(mayfly.outcomes, lambda: mayfly.outcomes() == ["succeeded"])


@case
def a_job_that_is_lost_vanishes_or_whose_worker_never_connects_gives_its_build_back():
    with world(settings=", connect_timeout=1", fates=["lost", "vanish", "mute"]) as (mayfly, master):
        master.run(1)
        done(mayfly, master, [0])
        equal(tries(master), [5, 5, 5, 0])
        for words in ("ended before it connected: lost", "does not know it any more", "did not connect within 1 s"):
            check(words in master.said(), words, master.said()[-3000:])
        # The builder of the silent one is not left behind.
        wait_for(mayfly.outcomes, lambda: mayfly.outcomes() == [None, None, "cancelled", "succeeded"])


@case
def a_builder_that_is_gone_without_a_word_gives_its_build_back():
    with world(fates=["freeze"]) as (mayfly, master):
        mayfly.gate.touch()
        master.run(1)
        wait_for(lambda: master.said()[-3000:], lambda: master.ask("SELECT id FROM steps WHERE name = 'shell' AND started_at IS NOT NULL"), 60)
        with mayfly.lock:  # its machine is gone: nothing comes from there, not even the end of the connection
            os.killpg(mayfly.jobs[1]["process"].pid, signal.SIGSTOP)
            mayfly.jobs[1]["state"] = "lost"
        mayfly.gate.unlink()
        done(mayfly, master, [0])
        equal(tries(master), [5, 0])


@case
def an_expired_token_is_read_anew_once_there_is_another():
    with Scratch() as keys:
        (keys / "token").write_text("the old one\n")
        with world(settings=f', token_file="{keys}/token"') as (mayfly, master):
            mayfly.token = "the new one"
            master.run(1)
            wait_for(lambda: master.said()[-3000:], lambda: mayfly.refused > 0, 60)
            (keys / "token").write_text("the new one\n")
            done(mayfly, master, [0])
            check("a bearer token is needed" in master.said(), master.said()[-3000:])
            check("the old one" not in master.said() and "the new one" not in master.said(), "a token in the master's log")


if __name__ == "__main__":
    main()
