"""A real Buildbot master with the latent worker that ships."""
import os
import shutil
import socket
import sqlite3
import subprocess

from harness import ROOT, check, wait_for

# The trigger is a file, so that the daemon can be seen at rest first.
MASTER = """\
import os, sys
sys.path.insert(0, {integrations!r})
from buildbot.plugins import steps, util, schedulers
from buildbot.process import factory
from buildbot.schedulers.base import BaseScheduler
from twisted.internet import defer, task
from mayfly_latent_worker import MayflyLatentWorker

class OnDemand(BaseScheduler):
    @defer.inlineCallbacks
    def activate(self):
        yield super().activate()
        self.loop = task.LoopingCall(self.look)
        self.loop.start(0.2, now=False)
    def deactivate(self):
        self.loop.stop()
        return super().deactivate()
    @defer.inlineCallbacks
    def look(self):
        if not os.path.exists({trigger!r}):
            return
        with open({trigger!r}) as f:
            count = int(f.read())
        os.unlink({trigger!r})
        for n in range(count):
            yield self.addBuildsetForSourceStamps(sourcestamps=[{{"codebase": "", "project": "", "repository": "", "branch": None, "revision": None}}], reason="test %d" % n, waited_for=False)

{builds}
names = ["mayfly-%d" % n for n in range({workers})]
c = BuildmasterConfig = {{
    "workers": [MayflyLatentWorker(n, pool="bb", master_address="{address}:{port}", server="unix://{socket}"{settings}) for n in names],
    "protocols": {{"pb": {{"port": "tcp:{port}:interface={address}"}}}},
    "builders": [util.BuilderConfig(name="b", workernames=names, factory=f)],
    "schedulers": [OnDemand(name="on-demand", builderNames=["b"])],
    "collapseRequests": False, "title": "test", "titleURL": "http://localhost/", "buildbotURL": "http://localhost/", "buildbotNetUsageData": None,
    "db": {{"db_url": "sqlite:///state.sqlite"}},
}}
"""

# Every fifth build fails, and every build would fail in a builder that had one before.
BUILDS = """\
f = factory.BuildFactory()
f.addStep(steps.SetPropertyFromCommand(command=["hostname"], property="host"))
f.addStep(steps.ShellCommand(name="unused", command="test ! -e /tmp/used && touch /tmp/used", haltOnFailure=True))
f.addStep(steps.ShellCommand(name="nosecret", command="! env | grep WORKERPASS && ! cat /proc/$PPID/environ | tr '\\\\0' '\\\\n' | grep WORKERPASS"))
f.addStep(steps.ShellCommand(name="work", command=util.Interpolate("test $((%(prop:buildnumber)s %% 5)) != 0")))
"""


def free_port(address):
    with socket.socket() as s:
        s.bind((address, 0))
        return s.getsockname()[1]


class Master:
    def __init__(self, folder, mayfly, address="127.0.0.1", workers=12, settings="", builds=BUILDS, after=None):
        """`after` gives further lines of its configuration, told the port that workers come to."""
        self.folder, self.trigger, self.log = folder / "master", folder / "trigger", folder / "master.log"
        self.program = shutil.which("buildbot")
        subprocess.run([self.program, "create-master", "-r", str(self.folder)], check=True, capture_output=True)
        port = free_port(address)
        (self.folder / "master.cfg").write_text(MASTER.format(
            integrations=str(ROOT / "integrations/buildbot"), trigger=str(self.trigger), address=address, port=port, workers=workers,
            socket=mayfly, settings=settings, builds=builds) + (after(port) if after else ""))
        self.process = None

    def __enter__(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.program, "start", "--nodaemon", str(self.folder)], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})

        def up():
            check(self.process.poll() is None, self.said())
            return "BuildMaster is running" in self.said()
        try:
            wait_for(lambda: "the master: " + self.said()[-2000:], up, 60)
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def said(self):
        texts = [p.read_text(errors="replace") for p in (self.log, self.folder / "twistd.log") if p.exists()]
        return "".join(texts)

    def run(self, builds):
        part = self.trigger.with_suffix(".part")
        part.write_text(str(builds))
        part.rename(self.trigger)

    def ask(self, sql):
        db = sqlite3.connect(f"file:{self.folder}/state.sqlite?mode=ro", uri=True, timeout=20)
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()

    def results(self):
        """Of the build requests: that of the last build of each."""
        return [r for (r,) in self.ask("SELECT results FROM buildrequests WHERE complete = 1")]
