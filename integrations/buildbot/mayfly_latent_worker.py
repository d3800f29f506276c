"""A Buildbot worker that is a new Mayfly builder for each build.

In master.cfg, with this file beside it or on the Python path:

    from mayfly_latent_worker import MayflyLatentWorker
    c["workers"] = [MayflyLatentWorker(f"mayfly-{n}", pool="buildbot", master_address="ci.example.org:9989",
                                       server="https://mayfly.example.org:8443", token_file="mayfly.token")
                    for n in range(50)]

Each of these takes one build at a time; so many builds can run at once. docs/buildbot.md has the rest.

For Buildbot 3.7 and later; needs nothing but Buildbot and the standard library.
"""
import http.client
import json
import secrets
import socket
import ssl
import string
import time
import urllib.parse
import uuid

from buildbot import config
from buildbot.interfaces import IRenderable, LatentWorkerCannotSubstantiate, LatentWorkerFailedToSubstantiate
from buildbot.process import results
from buildbot.worker.latent import AbstractLatentWorker
from twisted.internet import defer, task, threads
from twisted.python import failure, log
from zope.interface import implementer

# Trying again unchanged cannot help: the build ends with an exception. All else is retried by Buildbot.
HOPELESS = {"command_not_found", "not_executable", "image_unavailable"}
ENDED = {"succeeded", "failed", "cancelled", "timed_out", "lost"}
OUTCOMES = {results.SUCCESS: "succeeded", results.WARNINGS: "succeeded", results.FAILURE: "failed",
            results.SKIPPED: "skipped", results.EXCEPTION: "failed", results.RETRY: "abandoned",
            results.CANCELLED: "cancelled"}


class MayflyError(Exception):
    """What Mayfly answered, or why it did not."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status  # 0: no answer


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class MayflyApi:
    """Mayfly's HTTP API. Calls block: only from threads."""

    TIMEOUT = 10  # seconds

    def __init__(self, server, token_file=None, ca_file=None):
        self._server, self._token_file, self._ca_file = server, token_file, ca_file

    def _connection(self):
        url = urllib.parse.urlsplit(self._server)
        if url.scheme == "unix":
            return _UnixConnection(url.path, self.TIMEOUT)
        context = ssl.create_default_context(cafile=self._ca_file)
        return http.client.HTTPSConnection(url.hostname, url.port, timeout=self.TIMEOUT, context=context)

    def call(self, method, path, body=None):
        headers = {"Content-Type": "application/json"}
        if self._token_file:
            with open(self._token_file, encoding="ascii") as f:  # read anew each time: tokens are changed
                headers["Authorization"] = "Bearer " + f.read().strip()
        connection = self._connection()
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            status, text = answer.status, answer.read(16 << 20)
        except (OSError, http.client.HTTPException) as e:
            raise MayflyError(0, f"{self._server}: {e}") from e
        finally:
            connection.close()
        try:
            value = json.loads(text)
        except ValueError as e:
            raise MayflyError(status, f"{self._server}{path}: status {status}, and no JSON") from e
        if status >= 400:
            error = value.get("error", {}) if isinstance(value, dict) else {}
            raise MayflyError(status, " ".join(filter(None, (error.get("what", f"status {status}"), error.get("next")))))
        return value

    def patiently(self, method, path, body=None):
        """Again for some seconds where nobody answers: a daemon that is being restarted is away for so long."""
        for pause in (0.2, 0.5, 1, 2, 4, 8, None):
            try:
                return self.call(method, path, body)
            except MayflyError as e:
                if pause is None or not (e.status == 0 or e.status >= 500):
                    raise
                time.sleep(pause)  # this thread serves one build alone


@implementer(IRenderable)
class _OneTimePassword:
    """What the master compares a worker's password with: new for each build, and between builds one that nobody knows."""

    def __init__(self):
        self.renew()

    def renew(self):
        self.value = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(40))
        return self.value

    def getRenderingFor(self, _properties):
        return self.value


class MayflyLatentWorker(AbstractLatentWorker):
    _job = None    # Mayfly's number of it, from start_instance to stop_instance
    _build = None
    _used = False  # its builder has had its build
    _watch = None

    def checkConfig(self, name, pool, master_address, server="unix:///var/lib/mayfly/mayfly.sock", token_file=None,
                    ca_file=None, timeout=None, priority=0, **kwargs):
        if len(name) > 50:
            config.error(f"MayflyLatentWorker: the name '{name}' is longer than 50 characters")
        if not isinstance(pool, str) or not pool:
            config.error("MayflyLatentWorker: give it the name of a Mayfly pool")
        host, _, port = str(master_address).rpartition(":")
        if not host or not port.isdigit():
            config.error("MayflyLatentWorker: master_address is HOST:PORT, as a builder reaches this master")
        scheme = urllib.parse.urlsplit(server).scheme
        if scheme not in ("unix", "https"):
            config.error("MayflyLatentWorker: server is unix:///PATH or https://HOST:PORT")
        for key in ("password", "build_wait_timeout", "max_builds"):
            if key in kwargs:
                config.error(f"MayflyLatentWorker: '{key}' cannot be set: one build per builder, with a password of its own")
        super().checkConfig(name, None, build_wait_timeout=0, max_builds=1, **kwargs)

    @defer.inlineCallbacks
    def reconfigService(self, name, pool, master_address, server="unix:///var/lib/mayfly/mayfly.sock", token_file=None,
                        ca_file=None, timeout=None, priority=0, **kwargs):
        self._pool, self._timeout, self._priority = pool, timeout, priority
        self._master_host, _, self._master_port = master_address.rpartition(":")
        self._api = MayflyApi(server, token_file, ca_file)
        if not hasattr(self, "_one_time"):
            self._one_time = _OneTimePassword()
        yield super().reconfigService(name, self._one_time, build_wait_timeout=0, max_builds=1, **kwargs)
        # The base class has put in what it rendered to once; it must be asked for each time.
        self.password = self._one_time
        yield self.registration.update(self, self.master.config)

    def canStartBuild(self):
        return not self._used and super().canStartBuild()

    @defer.inlineCallbacks
    def start_instance(self, build):
        if self._job is not None:
            raise ValueError("instance active")
        self._build = build
        password = self._one_time.renew()
        number = getattr(build, "number", None)
        builder = build.builder.name
        url = yield build.getUrl()
        body = {
            "pool": self._pool,
            "name": f"{builder} {number}",
            "command": ["mayfly-buildbot-worker"],
            "env": {"BUILDMASTER": self._master_host, "BUILDMASTER_PORT": self._master_port, "WORKERNAME": self.name},
            "one_time_secrets": {"WORKERPASS": password},
            "priority": self._priority,
            "idempotency_key": f"buildbot/{uuid.uuid4()}",
            "ci": "buildbot",
            "external": {"id": f"{self.master.name}/{build.buildid}", "url": url or "", "name": f"{builder} {number}",
                         "runner": self.name},
        }
        if self._timeout:
            body["timeout_us"] = int(self._timeout * 1e6)
        try:
            job = yield threads.deferToThread(self._api.patiently, "POST", "/v1/jobs", body)
        except MayflyError as e:
            raise LatentWorkerFailedToSubstantiate(self.name, f"Mayfly gives no builder: {e}") from e
        self._job = job["id"]
        log.msg(f"worker {self.name}: build {build.buildid} is Mayfly's job {self._job}")
        self._watch = task.LoopingCall(self._look)
        self._watch.clock = self.master.reactor
        self._watch.start(2, now=False).addErrback(log.err, "while watching a Mayfly job")
        return True

    @defer.inlineCallbacks
    def _look(self):
        """A job that ended before its worker connected gives the build back at once, not at the missing timeout."""
        job = self._job
        if self.conn is not None or job is None:
            return
        try:
            seen = yield threads.deferToThread(self._api.call, "GET", f"/v1/jobs/{job}")
        except MayflyError:
            return  # away for a moment; the missing timeout is there all the same
        if seen["state"] in ENDED and self.conn is None and self._job == job:
            why = seen.get("result", {})
            log.msg(f"worker {self.name}: Mayfly's job {job} ended before it connected: {seen['state']} "
                    f"({why.get('cause')}) {why.get('message', '')}")
            self._stop_watching()
            kind = LatentWorkerCannotSubstantiate if why.get("cause") in HOPELESS else LatentWorkerFailedToSubstantiate
            self._substantiation_failed(failure.Failure(kind(
                self.name, f"Mayfly's job {job} ended before it connected: {why.get('cause')} {why.get('message', '')}")))

    def _stop_watching(self):
        if self._watch is not None and self._watch.running:
            self._watch.stop()
        self._watch = None

    def buildStarted(self, wfb):
        self._used = True
        super().buildStarted(wfb)

    @defer.inlineCallbacks
    def stop_instance(self, fast=False):
        self._stop_watching()
        self._one_time.renew()
        job, build, self._job, self._build = self._job, self._build, None, None
        if job is None:
            self._used = False
            return
        outcome = OUTCOMES.get(getattr(build, "results", None)) if self._used else None
        try:
            yield threads.deferToThread(self._end, job, outcome, getattr(build, "results", None), fast)
        except MayflyError as e:
            # The worker in it ends by itself once it finds no master, and Mayfly ends it at the pool's time limit.
            log.err(e, f"worker {self.name}: Mayfly's job {job} could not be ended")
        finally:
            self._used = False

    def _end(self, job, outcome, result, fast):
        """Tells Mayfly how it ended, which ends the job; or cancels it. Then waits until its builder is on its way out."""
        try:
            if outcome is not None:
                word = results.Results[result] if isinstance(result, int) and result < len(results.Results) else ""
                self._api.patiently("POST", f"/v1/jobs/{job}/report", {"outcome": outcome, "result": word})
            else:
                self._api.patiently("POST", f"/v1/jobs/{job}/cancel")
        except MayflyError as e:
            if e.status not in (404, 409):  # over already
                raise
        if fast:
            return
        for _ in range(6):
            seen = self._api.patiently("GET", f"/v1/jobs/{job}/wait?timeout_ms=5000")
            if seen["state"] in ENDED:
                return
