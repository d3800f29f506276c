"""What the end-to-end tests share: a daemon in a directory of its own, the command line and the API, and TAP.

Tests are functions given to @case; main() runs them in order and reports each. The program is $MAYFLY, or build/mayfly.
"""
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import traceback
from pathlib import Path

import leftovers

ROOT = Path(__file__).resolve().parent.parent.parent
MAYFLY = os.environ.get("MAYFLY") or str(ROOT / "build/mayfly")
BUSYBOX = "localhost/mayfly/test-busybox:1"
FINAL = {"succeeded", "failed", "cancelled", "timed_out", "lost"}


class Skip(Exception):
    pass


def guide_blocks(guide, kind):
    """The code blocks of this kind in a page of docs/, also those in lists."""
    found = re.findall(rf"^( *)```{kind}\n(.*?)^\1```", (ROOT / "docs" / guide).read_text(), re.S | re.M)
    check(found, f"docs/{guide} has no block of {kind}")
    return [textwrap.dedent(text) for _, text in found]


def but(text, *changes):
    """The text with each (from, to) changed, all of which must be in it: what a test cannot have as the guide says."""
    for before, after in changes:
        check(before in text, f"{before!r} is not in it", text)
        text = text.replace(before, after)
    return text


def check(truth, *context):
    if not truth:
        raise AssertionError("; ".join(str(c) for c in context) or "not so")


def equal(got, expected, *context):
    check(got == expected, f"expected {expected!r}, got {got!r}", *context)


def wait_for(what, condition, seconds=30):
    """Gives the condition's value once it is true. The one place that polls: for what offers nothing to wait on."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s still waiting for: {what() if callable(what) else what}")
        time.sleep(0.02)
    return value


class Cases:
    """Runs cases and reports them as TAP."""

    def __init__(self):
        self.number, self.bad = 0, 0

    def case(self, name, function):
        self.number += 1
        try:
            function()
            print(f"ok {self.number} - {name}", flush=True)
        except Skip as e:
            print(f"ok {self.number} - {name} # SKIP {chr(32).join(str(e).split())}", flush=True)
        except Exception:
            self.bad += 1
            print(f"not ok {self.number} - {name}")
            for line in traceback.format_exc().splitlines()[-25:]:
                print(f"# {line}")
            sys.stdout.flush()

    def skip_all(self, names, why):
        for name in names:
            self.number += 1
            print(f"ok {self.number} - {name} # SKIP {why}")

    def finish(self):
        print(f"1..{self.number}", flush=True)
        sys.exit(bool(self.bad))


CASES = []


def case(function):
    CASES.append((function.__name__.replace("_", " "), function))
    return function


def main():
    """Runs what was given to @case; words on the command line choose by name."""
    cases = Cases()
    for name, function in CASES:
        if not sys.argv[1:] or any(word in name for word in sys.argv[1:]):
            cases.case(name, function)
    cases.finish()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


@contextlib.contextmanager
def Scratch():
    """A temporary directory with a short name, for unix socket paths have only 107 bytes."""
    folder = tempfile.mkdtemp(prefix="mf", dir="/tmp")
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_busybox = None


def busybox_image(_folder=None):
    """An image with nothing but a static busybox; made once, in about a second."""
    global _busybox
    if _busybox:
        return _busybox
    if not shutil.which("buildah"):
        raise Skip("buildah is not installed")
    if subprocess.run(["buildah", "inspect", "--type", "image", BUSYBOX], capture_output=True).returncode != 0:
        with Scratch() as folder:
            for d in ("bin", "etc", "root", "tmp", "proc", "sys", "dev"):
                (folder / d).mkdir()
            shutil.copy("/bin/busybox", folder / "bin/busybox")
            names = subprocess.check_output(["/bin/busybox", "--list"], text=True).split()
            for name in names:
                if name != "busybox":
                    (folder / "bin" / name).symlink_to("busybox")
            (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
            (folder / "etc/group").write_text("root:x:0:\n")
            (folder / "tmp").chmod(0o1777)
            run = lambda *a: subprocess.run(["buildah", *a], check=True, capture_output=True, text=True).stdout.strip()
            try:
                container = run("from", "scratch")
                run("add", container, str(folder), "/")
                run("config", "--env", "PATH=/bin", "--cmd", "/bin/sh", container)
                run("commit", "--quiet", container, BUSYBOX)
                run("rm", container)
            except subprocess.CalledProcessError as e:
                raise Skip(f"no image can be made on this host: {e.stderr.strip()}")
    _busybox = BUSYBOX
    return _busybox


_fit = None


def containers_allowed():
    """Empty where this host can run builders, else why not, in doctor's own words."""
    global _fit
    if not os.access(MAYFLY, os.X_OK):
        raise AssertionError(f"no program at {MAYFLY}: make build")
    if _fit is None:
        done = subprocess.run([MAYFLY, "doctor", "--json"], capture_output=True, text=True)
        _fit = ""
        if done.returncode == 1:
            checks = json.loads(done.stdout)
            checks = checks.get("checks", checks) if isinstance(checks, dict) else checks
            missing = [c for c in checks if c.get("status") == "missing"]
            _fit = "; ".join(f"{c['name']}: {c.get('advice') or c.get('found')}" for c in missing) or done.stderr.strip()
    return _fit


def needs_containers():
    if why := containers_allowed():
        raise Skip(why)


CONFIG = """\
pools:
  p:
    image: {image}
    network: none
    builders: {{warm: {warm}, max: {max}, memory: {memory}, disk: {disk}, pids: {pids}, timeout: 2m, grace: 1s}}
"""


class Daemon:
    """`mayfly up` in a state directory of its own."""

    def __init__(self, folder, config=None, name="d", env=None, **pool):
        self.folder = Path(folder)
        self.state = self.folder / name
        self.log = self.folder / f"{name}.log"
        self.config = self.folder / f"{name}.yaml"
        values = {"image": busybox_image(), "warm": 0, "max": 10, "memory": "128MiB", "disk": "32MiB", "pids": 256} | pool
        self.config.write_text(config or CONFIG.format(**values))
        self.env = {k: v for k, v in os.environ.items() if k != "MAYFLY_SERVER"} | (env or {}) | {"MAYFLY_STATE": str(self.state)}
        self.process = None

    def start(self, wait=True, **env):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([MAYFLY, "up", "--config", self.config, "--state", self.state], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, env=self.env | env)
        if wait:
            wait_for(lambda: "the daemon's answer; it said: " + self.said(), self.answers)
        return self

    def said(self):
        return self.log.read_text(errors="replace")[-3000:]

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def answers(self):
        if not self.alive():
            raise AssertionError(f"the daemon ended with {self.process.returncode}: {self.said()}")
        try:
            return self.get("/healthz")["ok"]
        except OSError:
            return False

    def kill(self):
        if self.alive():
            self.process.kill()
        if self.process:
            self.process.wait()

    def stop(self, seconds=30):
        """Gives the exit code."""
        if self.alive():
            self.process.terminate()
        return self.process.wait(seconds)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        """Properly ended even after a failure, so that a failed case does not leave its builders to the next."""
        try:
            code = self.stop()
            check(kind or code == 0, f"the daemon exited with {code}: {self.said()}")
        finally:
            self.kill()

    def remains(self):
        """What of its builders is on this host, some moments after its end."""
        with contextlib.suppress(AssertionError):
            wait_for("nothing", lambda: not leftovers.everything(self.state), 10)
        return leftovers.everything(self.state)

    # The API.
    def api(self, method, path, body=None, timeout=60):
        """Status and JSON."""
        c = UnixConnection(str(self.state / "mayfly.sock"), timeout)
        try:
            c.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
            r = c.getresponse()
            return r.status, json.loads(r.read() or b"null")
        finally:
            c.close()

    def get(self, path):
        status, body = self.api("GET", path)
        check(status in (200, 202), f"GET {path}: {status} {body}")
        return body

    def submit(self, command=None, **spec):
        if isinstance(command, str):
            command = ["/bin/sh", "-c", command]
        status, job = self.api("POST", "/v1/jobs", {"pool": "p", **({"command": command} if command else {}), **spec})
        equal(status, 201, job)
        return job["id"]

    def job(self, id):
        return self.get(f"/v1/jobs/{id}")

    def ended(self, id, seconds=60):
        end = time.monotonic() + seconds
        while (job := self.get(f"/v1/jobs/{id}/wait?timeout_ms=5000"))["state"] not in FINAL:
            check(time.monotonic() < end, f"job {id} has not ended within {seconds} s: {job}", self.said())
        return job

    def output(self, id):
        c = UnixConnection(str(self.state / "mayfly.sock"))
        try:
            c.request("GET", f"/v1/jobs/{id}/log?format=raw")
            return c.getresponse().read()
        finally:
            c.close()

    def output_on_disk(self, id):
        """Also without a daemon."""
        return (self.state / "jobs" / str(id) / "log").read_bytes()

    def running(self, id, said=b""):
        """Waits until the job runs and has said this."""
        wait_for(lambda: f"job {id} to say {said!r}: {self.job(id)}; {self.said()}",
                 lambda: self.job(id)["state"] != "queued" and said in self.output(id))

    def builders(self):
        return self.get("/v1/builders")["builders"]

    def no_builders(self, seconds=30):
        """Waits until every builder is gone (pools without warm ones)."""
        wait_for(lambda: f"no builders: {self.builders()}", lambda: not self.builders(), seconds)

    # The command line.
    def cli(self, *argv, timeout=300, **more):
        return subprocess.run([MAYFLY, *argv], env=self.env, capture_output=True, timeout=timeout, **more)

    def run(self, *argv, **more):
        return self.cli("run", "--pool", "p", *argv, **more)


@contextlib.contextmanager
def daemon(**options):
    """A running daemon in a temporary directory; afterwards nothing of its builders may remain."""
    needs_containers()
    with Scratch() as folder:
        with Daemon(folder, **options) as d:
            yield d
        equal(d.remains(), [])


def terminate(process, sig=signal.SIGTERM, seconds=30):
    process.send_signal(sig)
    return process.wait(seconds)
