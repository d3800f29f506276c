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
from twisted.python import failure, log, threadpool
from zope.interface import implementer

# Trying again unchanged cannot help: the build ends with an exception. All else is retried by Buildbot.
HOPELESS = {"command_not_found", "not_executable", "image_unavailable"}
ENDED = {"succeeded", "failed", "cancelled", "timed_out", "lost"}
OUTCOMES = {results.SUCCESS: "succeeded", results.WARNINGS: "succeeded", results.FAILURE: "failed",
            results.SKIPPED: "skipped", results.EXCEPTION: "failed", results.RETRY: "abandoned",
            results.CANCELLED: "cancelled"}


class MayflyError(Exception):
    """What Mayfly answered, or why it did not."""

    def __init__(self, status, text, wait=0.0):
        super().__init__(text)
        self.status = status  # 0: no answer, or none that makes sense
        self.wait = wait      # seconds that it asked for

    def may_pass(self):
        return self.status == 0 or self.status == 429 or self.status >= 500


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
    PAUSES = (0.2, 0.5, 1, 2, 4, 8)  # between tries; a daemon that is being restarted is away for so long
    LONGEST_WAIT = 30  # that it may ask for

    def __init__(self, server, token_file=None, ca_file=None):
        self._server, self._token_file, self._ca_file = server, token_file, ca_file

    def _connection(self):
        url = urllib.parse.urlsplit(self._server)
        if url.scheme == "unix":
            return _UnixConnection(url.path, self.TIMEOUT)
        context = ssl.create_default_context(cafile=self._ca_file)
        return http.client.HTTPSConnection(url.hostname, url.port, timeout=self.TIMEOUT, context=context)

    def call(self, method, path, body=None):
        """The JSON object that it answers with."""
        headers, connection = {"Content-Type": "application/json"}, None
        try:
            if self._token_file:
                with open(self._token_file, encoding="ascii") as f:  # read anew each time: tokens are changed
                    headers["Authorization"] = "Bearer " + f.read().strip()
            connection = self._connection()
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            status, wait, text = answer.status, answer.getheader("Retry-After", ""), answer.read(16 << 20)
        except (OSError, ValueError, http.client.HTTPException) as e:
            raise MayflyError(0, f"{self._server}: {e or type(e).__name__}") from e
        finally:
            if connection:
                connection.close()
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if status >= 400:
            error = value.get("error") if isinstance(value, dict) else None
            words = [error.get(k) for k in ("what", "next")] if isinstance(error, dict) else []
            said = " ".join(w for w in words if isinstance(w, str))
            raise MayflyError(status, said or f"{self._server}{path}: status {status}",
                              min(float(wait), self.LONGEST_WAIT) if wait.isdigit() else 0.0)
        if not isinstance(value, dict):
            raise MayflyError(0, f"{self._server}{path}: status {status}, and no JSON object: is there a proxy between?")
        return value

    def patiently(self, method, path, body=None):
        """Again for some seconds where nobody answers. Safe for POST, too: jobs are submitted with a key, and ended once."""
        for pause in (*self.PAUSES, None):
            try:
                return self.call(method, path, body)
            except MayflyError as e:
                if pause is None or not e.may_pass():
                    raise
                time.sleep(max(pause, e.wait))  # this thread serves one build alone


_threads = None


def _in_thread(reactor, function, *args):
    """On threads of our own: a Mayfly that hangs must not take the reactor's, which the rest of the master needs."""
    global _threads
    if _threads is None:
        _threads = threadpool.ThreadPool(1, 32, "mayfly")
        _threads.start()
        reactor.addSystemEventTrigger("during", "shutdown", _threads.stop)
    return threads.deferToThreadPool(reactor, _threads, function, *args)


def _text(value):
    return value if isinstance(value, str) else ""


def _object(value):
    return value if isinstance(value, dict) else {}


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
    _used = False  # a build was given to it, which has not come back
    _came = False  # its builder's worker has connected: before that a build's results say nothing
    _watch = None
    _running_since = None  # when Mayfly was first heard to run it
    _ended_looks = 0       # in a row, that found it ended under its build

    LOOK_EVERY = 2  # seconds; five times as long once the worker is there
    LOOKS_UNTIL_LOST = 2

    def checkConfig(self, name, pool, master_address, server="unix:///var/lib/mayfly/mayfly.sock", token_file=None,
                    ca_file=None, timeout=None, priority=0, connect_timeout=300, **kwargs):
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
                        ca_file=None, timeout=None, priority=0, connect_timeout=300, **kwargs):
        self._connect_timeout = connect_timeout
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
            job = yield _in_thread(self.master.reactor, self._submit, body)
        except MayflyError as e:
            raise LatentWorkerFailedToSubstantiate(self.name, f"Mayfly gives no builder: {e}") from e
        self._job = job
        self._running_since, self._ended_looks, self._came = None, 0, False
        log.msg(f"worker {self.name}: build {build.buildid} is Mayfly's job {self._job}")
        self._watch = task.LoopingCall(self._look)
        self._watch.clock = self.master.reactor
        self._watch.start(self.LOOK_EVERY, now=False).addErrback(log.err, "while watching a Mayfly job")
        return True

    def _submit(self, body):
        for _ in range(3):  # an answer without a number: the same job again, by its key
            job = self._api.patiently("POST", "/v1/jobs", body).get("id")
            if isinstance(job, int):
                return job
        raise MayflyError(0, "its answer has no job in it: is there a proxy between?")

    @defer.inlineCallbacks
    def _look(self):
        """What became of a job whose worker is not there, or seems to be: long before Buildbot's own time limits."""
        job = self._job
        if job is None:
            return
        try:
            seen = yield _in_thread(self.master.reactor, self._api.call, "GET", f"/v1/jobs/{job}")
        except MayflyError as e:
            if e.status != 404:
                return  # away for a moment; Buildbot's time limits are there all the same
            seen = {"state": "lost", "result": {"cause": "unknown", "message": "Mayfly does not know it any more"}}
        if self._job != job:
            return
        state = seen.get("state")
        if self.conn is not None:
            return self._look_after_build(job, state)
        if state in ENDED:
            return self._never_came(job, state, _object(seen.get("result")))
        now = self.master.reactor.seconds()
        if state == "running" and self._running_since is None:
            self._running_since = now
        if state == "running" and self._connect_timeout and now - self._running_since >= self._connect_timeout:
            self._never_came(job, state, {"cause": "no_connection", "message":
                             f"its worker did not connect within {self._connect_timeout} s: `mayfly logs {job}` says more"})

    def _never_came(self, job, state, why):
        cause, message = _text(why.get("cause")), _text(why.get("message"))
        log.msg(f"worker {self.name}: Mayfly's job {job} ended before it connected: {state} ({cause}) {message}")
        self._stop_watching()
        kind = LatentWorkerCannotSubstantiate if cause in HOPELESS else LatentWorkerFailedToSubstantiate
        self._substantiation_failed(failure.Failure(kind(
            self.name, f"Mayfly's job {job} ended before it connected: {cause} {message}")))

    def _look_after_build(self, job, state):
        """A builder that is gone without its connection having broken: Buildbot would wait for it for an hour."""
        if self._watch is not None:
            self._watch.interval = 5 * self.LOOK_EVERY
        self._ended_looks = self._ended_looks + 1 if state in ENDED else 0
        if self._ended_looks >= self.LOOKS_UNTIL_LOST:
            log.msg(f"worker {self.name}: Mayfly's job {job} is {state}, and its builder gone: the connection is given up")
            self._ended_looks = 0
            self.conn.loseConnection()

    def _stop_watching(self):
        if self._watch is not None and self._watch.running:
            self._watch.stop()
        self._watch = None

    @defer.inlineCallbacks
    def attached(self, conn):
        yield super().attached(conn)
        self._came = True

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
        outcome = OUTCOMES.get(getattr(build, "results", None)) if self._came else None
        self._came = False
        try:
            yield _in_thread(self.master.reactor, self._end, job, outcome, getattr(build, "results", None), fast)
        except MayflyError as e:
            # The worker in it ends by itself once it finds no master, and Mayfly ends it at the pool's time limit.
            log.err(e, f"worker {self.name}: Mayfly's job {job} could not be ended")
        finally:
            self._used = False

    def _reported(self, job, outcome, result):
        word = results.Results[result] if isinstance(result, int) and result < len(results.Results) else ""
        try:
            self._api.patiently("POST", f"/v1/jobs/{job}/report", {"outcome": outcome, "result": word})
        except MayflyError as e:
            if e.status not in (404, 409):  # over, or in no state to be reported: then it is not left as it is
                raise
            return False
        return True

    def _end(self, job, outcome, result, fast):
        """Tells Mayfly how it ended, which ends the job; or cancels it. Then waits until its builder is on its way out."""
        if outcome is None or not self._reported(job, outcome, result):
            try:
                self._api.patiently("POST", f"/v1/jobs/{job}/cancel")
            except MayflyError as e:
                if e.status not in (404, 409):  # over already
                    raise
        if fast:
            return
        for _ in range(6):
            seen = self._api.patiently("GET", f"/v1/jobs/{job}/wait?timeout_ms=5000")
            if seen.get("state") in ENDED:
                return
