#!/usr/bin/env python3
"""The whole path as an ordinary user: a throwaway user with subordinate ids, made and removed by root."""
import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
from pathlib import Path

import harness
from harness import CONFIG, MAYFLY, Daemon, Skip, busybox_image, case, check, equal, main, wait_for
import leftovers

_user = None


@contextlib.contextmanager
def throwaway_user():
    """One user for the whole program, with a range of subordinate ids that nobody else has."""
    if os.geteuid() != 0:
        raise Skip("only root can make a throwaway user")
    for program in ("useradd", "userdel", "newuidmap", "newgidmap", "skopeo"):
        if not shutil.which(program):
            raise Skip(f"{program} is not installed")
    name = f"mayfly-e2e-{os.getpid()}"
    done = subprocess.run(["useradd", "--create-home", "--home-dir", f"/tmp/{name}", "--shell", "/bin/sh", name], capture_output=True, text=True)
    if done.returncode:
        raise Skip(f"useradd cannot make a user here: {done.stderr.strip()}")
    try:
        user = pwd.getpwnam(name)
        for file in ("/etc/subuid", "/etc/subgid"):
            if not any(line.startswith(name + ":") for line in Path(file).read_text().splitlines()):
                raise Skip(f"useradd gives no subordinate ids in {file} on this host")
        yield user
    finally:
        subprocess.run(["userdel", "--remove", "--force", name], capture_output=True)
        subprocess.run(["rm", "-rf", "--one-file-system", f"/tmp/{name}"])


class UsersDaemon(Daemon):
    """`mayfly up` as that user. Files are the user's; what root reads of them it may."""

    def __init__(self, user, **pool):
        self.user, home = user, Path(user.pw_dir)
        self.program = home / "mayfly"
        shutil.copy(MAYFLY, self.program)
        if not (home / "image").exists():
            subprocess.run(["skopeo", "copy", "--quiet", f"containers-storage:{busybox_image()}", f"oci:{home}/image:busybox"], check=True, capture_output=True)
        (home / "run").mkdir(mode=0o700, exist_ok=True)
        config = CONFIG.format(**{"image": f"oci:{home}/image:busybox", "warm": 0, "max": 10, "memory": "128MiB", "disk": "32MiB", "pids": 256} | pool)
        super().__init__(home, config.replace("network: none", f"network: {pool.get('network', 'none')}"))
        self.env = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), "PATH": os.environ["PATH"], "USER": user.pw_name,
                    "LOGNAME": user.pw_name, "MAYFLY_STATE": str(self.state)}
        if runtime := os.environ.get("MAYFLY_RUNTIME"):
            self.env["MAYFLY_RUNTIME"] = runtime
        subprocess.run(["chown", "-R", f"{user.pw_uid}:{user.pw_gid}", home], check=True)

    def as_user(self):
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": [], "cwd": self.folder, "env": self.env}

    def start(self, wait=True):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.program, "up", "--config", self.config, "--state", self.state], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, **self.as_user())
        if wait:
            wait_for(lambda: "the daemon's answer; it said: " + self.said(), self.answers)
        return self

    def cli(self, *argv, **more):
        return subprocess.run([self.program, *argv], capture_output=True, timeout=120, **self.as_user(), **more)

    def doctor(self):
        done = self.cli("doctor", "--json")
        checks = json.loads(done.stdout)
        return done.returncode, checks["checks"] if isinstance(checks, dict) else checks


@contextlib.contextmanager
def users_daemon(start=True, **pool):
    with throwaway_user() as user:
        before = processes_of(user)  # ids outlive users: they may be somebody else's too
        d = UsersDaemon(user, **pool)
        code, checks = d.doctor()
        if missing := [c for c in checks if c["status"] == "missing"]:
            raise Skip("as an ordinary user: " + "; ".join(f"{c['name']}: {c.get('advice') or c['found']}" for c in missing))
        if not start:
            yield d
            return
        with d:
            yield d
        equal(d.remains(), [])
        equal([p for p in processes_of(user) if p not in before], [])


def processes_of(user):
    """Of the user and of the subordinate ids."""
    first = next(int(line.split(":")[1]) for line in Path("/etc/subuid").read_text().splitlines() if line.startswith(user.pw_name + ":"))
    found = []
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            uid = os.stat(entry.path).st_uid if entry.name.isdigit() else 0
            state = leftovers.read(f"{entry.path}/stat").rpartition(b") ")[2][:1]
            if (uid == user.pw_uid or first <= uid < first + 65536) and state not in (b"Z", b""):
                found.append(f"process {entry.name}: {leftovers.read(entry.path + '/cmdline')[:80]}")
    return found


@case
def doctor_tells_an_ordinary_user_what_is_there():
    with users_daemon(start=False) as d:
        code, checks = d.doctor()
        equal(code, 0, checks)
        by_name = {c["name"]: c for c in checks}
        equal(by_name["subordinate ids"]["found"], "granted")
        equal(by_name["overlay"]["status"], "ok", by_name["overlay"])
        done = d.cli("doctor")
        check(b"kernel" in done.stdout, done)


@case
def jobs_of_an_ordinary_user_end_as_everybodys():
    with users_daemon() as d:
        equal(d.run("--", "sh", "-c", "echo out; echo err >&2; exit 7").returncode, 7)
        equal(d.run("--", "sh", "-c", "kill -9 $$").returncode, 137)
        done = d.run("--", "no-such-command")
        equal(done.returncode, 127, done.stderr)
        done = d.run("--", "sh", "-c", "id -u; hostname; touch /bin/new /workspace/new && echo written; ls /sys/class/net")
        words = done.stdout.decode().split()
        equal(words[0], "0", done)
        equal(words[2:4], ["written", "lo"], done)
        job = d.submit("exec sleep 98765")
        wait_for("root inside is this user outside", lambda: any("98765" in p for p in processes_of(d.user)))
        equal(d.cli("cancel", str(job)).returncode, 0)
        # Another user inside is another outside too, and owns its own files.
        done = d.run("--", "sh", "-c", "touch /tmp/f && chown 1000:1000 /tmp/f && stat -c %u:%g /tmp/f")
        equal(done.stdout, b"1000:1000\n", done.stderr)
        done = d.run("--timeout", "1s", "--", "sleep", "100")
        equal(done.returncode, 124, done.stderr)
        equal(d.run("--", "sh", "-c", "cat /word 2>/dev/null; ls /bin/new 2>/dev/null | wc -l").stdout, b"0\n", "a job saw another's file")
        d.no_builders()


@case
def many_jobs_of_an_ordinary_user_leave_nothing():
    with users_daemon() as d:
        jobs = [d.submit("(sleep 1000 &) ; echo x > /tmp/planted; exit 0") for _ in range(30)]
        for job in jobs:
            equal(d.ended(job)["state"], "succeeded", d.job(job))
        d.no_builders()
        names = lambda place: {e.name for e in os.scandir(d.state / "platforms/local" / place)}
        equal(names("b"), set())
        wait_for(lambda: f"only the stock: {names('r')}, {names('s')}", lambda: names("r") == names("s"))


@case
def a_running_job_of_an_ordinary_user_is_adopted():
    with users_daemon() as d:
        job = d.submit("echo begun; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo over")
        d.running(job, b"begun")
        builder = d.job(job)["builder"]
        d.kill()
        d.start()
        equal((d.job(job)["state"], d.job(job)["builder"]), ("running", builder))
        equal(d.cli("cancel", str(job)).returncode, 0)
        equal(d.ended(job)["state"], "cancelled")
        job = d.submit("echo again; sleep 0.5; echo over")
        d.running(job, b"again")
        d.kill()
        d.start()
        equal(d.ended(job)["state"], "succeeded")
        equal(d.output(job), b"again\nover\n")
        d.no_builders()


@case
def missing_limits_are_said_once():
    with users_daemon() as d:
        for _ in range(3):
            equal(d.run("--", "true").returncode, 0)
        said = d.log.read_text().count("are not enforced")
        limited = next(c for c in d.doctor()[1] if c["name"] == "cgroups")["status"] == "ok"
        equal(said, 0 if limited else 1, d.log.read_text())


@case
def an_ordinary_users_egress():
    if not os.path.exists("/dev/net/tun") or os.stat("/dev/net/tun").st_mode & 0o006 != 0o006:
        raise Skip("ordinary users may not open /dev/net/tun on this host: chmod 666 /dev/net/tun")
    with users_daemon(network="egress") as d:
        done = d.run("--", "sh", "-c", "ls /sys/class/net; cat /etc/resolv.conf")
        equal(done.stdout, b"lo\ntap0\nnameserver 10.0.2.3\n", done.stderr, d.said())


@case
def egress_that_cannot_be_set_up_is_told_in_words():
    if os.path.exists("/dev/net/tun") and os.stat("/dev/net/tun").st_mode & 0o006 == 0o006:
        raise Skip("ordinary users may open /dev/net/tun on this host")
    with users_daemon(network="egress") as d:
        job = d.submit("true")
        words = lambda: json.dumps([d.job(job).get("waiting"), d.job(job).get("result")])
        wait_for(lambda: f"the reason: {d.job(job)}", lambda: "slirp4netns" in words())
        check("tun" in words(), words())
        d.cli("cancel", str(job))


if __name__ == "__main__":
    main()
