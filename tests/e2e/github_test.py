#!/usr/bin/env python3
"""GitHub Actions end to end, with a stand-in for GitHub and one for its runner (github_server.py): the shipped entry point in
real builders, one job each; faults; and the daemon killed at every step."""
import hashlib
import http.client
import os
import re
import shutil
import subprocess
import tarfile

from github_server import APP, GitHub, HOOK_SECRET, RUNNER, TOKEN
from harness import (CASES, FINAL, ROOT, Daemon, Scratch, Skip, UnixConnection, busybox_image, but, case, check, equal, guide_blocks,
                     main, needs_containers, wait_for)

CONFIG = """\
secrets:
  github-token: {{env: GITHUB_TOKEN_OF_THE_DAEMON}}
  github-hook: {{env: GITHUB_HOOK_OF_THE_DAEMON}}
  github-app-key: {{file: {folder}/app.pem}}
pools:
  p:
    image: {image}
    network: host
    builders: {{warm: {warm}, max: 4, memory: 128MiB, disk: 32MiB, pids: 256, timeout: 2m, grace: 1s}}
    ci:
      github:
        url: {url}/acme
{sign_in}{hook}        labels: [mayfly]
"""
ENTRY = ROOT / "images/github/mayfly-github-runner"
_image = None


def image():
    """The busybox image with the shipped entry point and the stand-in for GitHub's runner."""
    global _image
    if _image is None:
        base, name = busybox_image(), hashlib.sha256((RUNNER + ENTRY.read_text()).encode()).hexdigest()[:12]
        wanted = f"localhost/mayfly/test-github:{name}"
        run = lambda *a: subprocess.run(["buildah", *a], check=True, capture_output=True, text=True).stdout.strip()
        if subprocess.run(["buildah", "inspect", "--type", "image", wanted], capture_output=True).returncode != 0:
            with Scratch() as folder:
                for path, text in (("usr/local/bin/mayfly-github-runner", ENTRY.read_text()), ("opt/actions-runner/bin/Runner.Listener", RUNNER)):
                    (folder / path).parent.mkdir(parents=True, exist_ok=True)
                    (folder / path).write_text(text)
                    (folder / path).chmod(0o755)
                container = run("from", "--pull-never", base)
                run("add", container, str(folder), "/")
                run("commit", "--quiet", container, wanted)
                run("rm", container)
        _image = wanted
    return _image


class World:
    """A GitHub, and a daemon with a pool for it."""

    def __init__(self, webhooks=False, warm=0, app=False, **options):
        needs_containers()
        if app and not shutil.which("openssl"):
            raise Skip("no openssl here to make an App's key with")
        self.github, self.app = GitHub(), app
        self.options = {"image": image(), "warm": warm} | options
        self.hook = "        webhook_secret: github-hook\n" if webhooks else ""
        self.scratch = Scratch()

    def __enter__(self):
        folder = self.scratch.__enter__()
        sign_in = "        token: github-token\n"
        if self.app:
            (folder / "app.pem").write_text(self.github.make_app())
            (folder / "app.pem").chmod(0o600)
            sign_in = f"        app_id: {APP}\n        private_key: github-app-key\n"
        config = self.options.pop("config", CONFIG).format(url=self.github.url, hook=self.hook, sign_in=sign_in, folder=folder, **self.options)
        self.daemon = Daemon(folder, config=config, env={"GITHUB_TOKEN_OF_THE_DAEMON": TOKEN, "GITHUB_HOOK_OF_THE_DAEMON": HOOK_SECRET})
        self.steps = folder / "steps"
        return self

    def __exit__(self, kind, *_):
        try:
            code = self.daemon.stop() if self.daemon.process else 0
            check(kind or code == 0, f"the daemon exited with {code}: {self.daemon.said()}")
            if not kind:
                equal(self.daemon.remains(), [])
                equal(self.github.registered(), [], "registered at GitHub after the end")
                self.no_secret_in_files()
        finally:
            self.daemon.kill()
            self.github.close()
            self.scratch.__exit__(None, None, None)

    def at_github(self, id, status="completed", seconds=90):
        wait_for(lambda: f"GitHub's job {id} to be {status}: {self.github.job(id)}; {self.daemon.said()}",
                 lambda: self.github.job(id)["status"] == status, seconds)
        return self.github.job(id)

    def settled(self, seconds=60):
        """Waits until every job here has ended and no registration is left; gives the jobs."""
        wait_for(lambda: f"the end of {self.jobs()}, registered: {self.github.registered()}; {self.daemon.said()}",
                 lambda: all(j["state"] in FINAL for j in self.jobs()) and not self.github.registered(), seconds)
        return self.jobs()

    def jobs(self):
        return self.daemon.get("/v1/jobs")["jobs"]

    def no_secret_in_files(self):
        secrets = [s.encode() for s in [*self.github.secrets(), *self.github.given]]
        for path in [*self.daemon.state.rglob("*"), self.daemon.log]:
            if path.is_file():
                content = path.read_bytes()
                for secret in secrets:
                    check(secret not in content, f"a credential is in {path}")


@case
def each_job_has_a_builder_of_its_own_and_its_result_is_GitHubs():
    with World() as w:
        ids = [w.github.queue("echo one"), w.github.queue("echo two"), w.github.queue("exit 3"), w.github.queue("hostname")]
        w.daemon.start()
        done = [w.at_github(id) for id in ids]
        equal([j["conclusion"] for j in done], ["success", "success", "failure", "success"])
        equal([j["outputs"] for j in done], [1, 1, 1, 1], "each ran once")
        equal(len({j["runner"] for j in done}), 4, "runners")
        jobs = w.settled()
        equal(len(jobs), 4, jobs)
        for j in jobs:
            theirs = w.github.job(int(j["external"]["id"]))
            equal((j["ci"], j["external"]["runner"]), ("github", theirs["runner"]), j)
            equal(j["state"], "succeeded" if theirs["conclusion"] == "success" else "failed", j)
            check(j["external"]["url"].endswith(f"/job/{theirs['id']}"), j)
            check(theirs["runner"].endswith(j["builder"]), j)
        w.daemon.no_builders()


@case
def the_guides_own_configuration_serves_the_guides_own_job():
    config, job = guide_blocks("github.md", "yaml")
    config = but(config.replace("{", "{{").replace("}", "}}"), ("/etc/mayfly/github-app.pem", "{folder}/app.pem"),
                 ("image: actions\n", "image: {image}\n"), ("network: egress", "network: host"),  # where the stand-ins are
                 ("organization: acme ", "url: {url}/acme "))
    labels = [l.strip() for l in re.search(r"runs-on: \[(.*?)\]", job)[1].split(",")]
    with World(app=True, config=config) as w:
        id = w.github.queue(re.search(r"run: ([^}]*)", job)[1], labels)
        w.daemon.start()
        equal(w.at_github(id)["conclusion"], "success")
        ended, = w.settled()
        check(str(id) in w.daemon.cli("jobs").stdout.decode() or ended["external"]["name"] in w.daemon.cli("jobs").stdout.decode())
        check(f"/job/{id}" in w.daemon.cli("explain", str(ended["id"])).stdout.decode(), "no link to its page")


# All that a job could read of its builder: the environment and command line of each process, and every file.
LOOK_AROUND = """\
env
for f in /proc/[0-9]*/environ /proc/[0-9]*/cmdline; do tr '\\0' '\\n' <$f; done 2>/dev/null
find / '(' -path /proc -o -path /sys ')' -prune -o -type f -size -400 -print -exec cat '{}' ';' 2>/dev/null
"""


def knows_only_its_own(app):
    with World(app=app) as w:
        ids = [w.github.queue(LOOK_AROUND) for _ in range(2)]
        w.daemon.start()
        for id in ids:
            w.at_github(id)
        jobs = w.settled()
        equal(len(jobs), 2, jobs)
        if app:
            check(w.github.installation_tokens and w.github.app_tokens, "it did not sign in as the App")
        for job in jobs:
            id = int(job["external"]["id"])
            seen = w.github.environments[id].encode() + w.daemon.output(job["id"])
            check(b"root:x:0:0" in seen and b"Runner.Listener" in seen and seen.count(b"PATH=") > 1, "it saw nothing of its builder", seen[:2000])
            others = [g for runner, given in w.github.given_to.items() if runner != job["external"]["runner"] for g in given]
            equal(len(others), 2)
            for secret in [*w.github.secrets(), *others]:
                check(secret.encode() not in seen, "a credential that is not its own is in the builder", secret)
            check(b"JITCONFIG" not in w.github.environments[id].encode(), "the job's environment has the runner's credential")


@case
def a_builder_knows_no_credential_but_its_own():
    knows_only_its_own(app=False)


@case
def a_builder_knows_nothing_of_the_App():
    knows_only_its_own(app=True)


@case
def warm_builders_serve_too():
    with World(warm=2) as w:
        w.daemon.start()
        wait_for(lambda: f"two builders: {w.daemon.builders()}", lambda: sum(b["state"] == "ready" for b in w.daemon.builders()) == 2)
        equal(w.github.registered(), [], "a builder is registered when it has a job, not before")
        ids = [w.github.queue() for _ in range(3)]
        equal([w.at_github(id)["conclusion"] for id in ids], ["success"] * 3)
        w.settled()


@case
def a_webhook_is_checked_and_starts_a_job():
    with World(webhooks=True) as w:
        w.daemon.start()
        wait_for("the first look", lambda: any("runs" in a for a in w.github.asked))
        id = w.github.queue()
        headers, body = w.github.delivery(id)

        def post(headers, body):
            c = UnixConnection(str(w.daemon.state / "mayfly.sock"))
            c.request("POST", "/v1/webhooks/github/acme", body, headers)
            status = c.getresponse().status
            c.close()
            return status
        forged = post(headers | {"X-Hub-Signature-256": "sha256=" + "0" * 64}, body)
        check(forged in (401, 403), forged)
        check(post(headers, body) in (200, 202, 204), "the webhook was not taken")
        equal(w.at_github(id)["conclusion"], "success")
        post(headers, body)
        equal(len(w.settled()), 1, "the same delivery, said twice")


@case
def a_job_cancelled_at_GitHub_needs_no_builder_any_more():
    with World() as w:
        ids = [w.github.queue("sleep 12") for _ in range(5)]
        w.daemon.start()
        wait_for(lambda: f"four runners at work; {w.daemon.said()}", lambda: sum(j["status"] == "in_progress" for j in w.github.jobs.values()) == 4)
        w.github.cancel(next(id for id in ids if w.github.job(id)["status"] == "queued"))
        for id in ids:
            w.at_github(id)
        jobs = w.settled()
        equal(sorted(j["state"] for j in jobs), ["cancelled"] + ["succeeded"] * 4)


@case
def an_image_without_a_runner_leaves_no_registration():
    with World(image=busybox_image()) as w:
        id = w.github.queue()
        w.daemon.start()
        job = wait_for(lambda: f"a job to end: {w.daemon.said()}", lambda: next((j for j in w.jobs() if j["state"] in FINAL), None), 60)
        equal(job["state"] == "succeeded", False, job)
        wait_for("no registration", lambda: not w.github.registered(), 30)
        w.github.cancel(id)
        w.settled(120)


@case
def a_pool_is_connected_otherwise_without_a_restart():
    """Other labels, another credential, webhooks, and at last no CI at all, while a job runs."""
    with World() as w:
        d = w.daemon
        running = w.github.queue("sleep 15")
        other = w.github.queue(labels=("self-hosted", "gpu"))
        d.start()
        w.at_github(running, "in_progress")
        equal(w.github.job(other)["status"], "queued")

        def apply(before, after):
            text = d.config.read_text()
            check(before in text, text)
            d.config.write_text(text.replace(before, after))
            plan = d.cli("plan").stdout.decode()
            done = d.cli("apply", "--yes")
            equal(done.returncode, 0, done.stdout, done.stderr)
            return plan
        check("its jobs come from github as it says here from now on" in apply("labels: [mayfly]", "labels: [mayfly, gpu]"), "no word of it")
        equal(w.at_github(other)["conclusion"], "success")
        headers, body = w.github.delivery(other)

        def hook():
            c = UnixConnection(str(d.state / "mayfly.sock"))
            c.request("POST", "/v1/webhooks/github/acme", body, headers)
            status = c.getresponse().status
            c.close()
            return status
        equal(hook(), 404)
        apply("labels:", "webhook_secret: github-hook\n        labels:")
        equal(hook(), 202)
        before, _, _ = d.config.read_text().partition("    ci:")
        plan = apply(d.config.read_text(), before)
        check("its jobs come from the API alone from now on" in plan and "jobs that run are seen to their end" in plan, plan)
        w.at_github(running)
        jobs = w.settled()
        equal([j["state"] for j in jobs], ["succeeded"] * 2, jobs)
        late = w.github.queue()
        equal(d.ended(d.submit("true"))["state"], "succeeded")
        equal(w.github.job(late)["status"], "queued", "nobody here serves it any more")
        equal(len(w.jobs()), 3, w.jobs())


@case
def a_webhook_is_answered_while_GitHub_hangs():
    with World(webhooks=True) as w:
        w.daemon.start()
        wait_for("the first look", lambda: any("runs" in a for a in w.github.asked))
        ids = [w.github.queue() for _ in range(3)]
        deliveries = [w.github.delivery(id) for id in ids]
        with w.github.hanging():
            for headers, body in deliveries:
                c = UnixConnection(str(w.daemon.state / "mayfly.sock"), timeout=10)
                c.request("POST", "/v1/webhooks/github/acme", body, headers)
                equal(c.getresponse().status, 202)
                c.close()
            wait_for("requests that hang", lambda: w.github.held > 0)
            headers, body = w.github.delivery(ids[0], "waiting")
            c = UnixConnection(str(w.daemon.state / "mayfly.sock"), timeout=10)
            c.request("POST", "/v1/webhooks/github/acme", body, headers)
            equal(c.getresponse().status, 202)
            c.close()
            check(w.github.held > 0, "nothing hung when it was answered")
        for id in ids:
            equal(w.at_github(id)["conclusion"], "success")
        w.settled()


@case
def GitHub_may_be_down_for_a_while():
    with World() as w:
        w.github.broken = True
        id = w.github.queue()
        w.daemon.start()
        wait_for("the daemon's complaint", lambda: "503" in w.daemon.said())
        w.github.broken = False
        equal(w.at_github(id)["conclusion"], "success")
        w.settled()


@case
def the_recipe_fetches_what_its_checksum_says_and_nothing_else():
    fetch = ROOT / "images/github/fetch-runner"
    machine = {"x86_64": "x64", "aarch64": "arm64", "armv7l": "arm"}.get(os.uname().machine)
    if not machine:
        raise Skip(f"GitHub has no runner for {os.uname().machine}")
    with Scratch() as folder:
        source = folder / "r/bin"
        source.mkdir(parents=True)
        (source / "Runner.Listener").write_text("#!/bin/sh\n")
        (source / "Runner.Listener").chmod(0o755)
        (folder / "v9.9.9").mkdir()
        archive = folder / f"v9.9.9/actions-runner-linux-{machine}-9.9.9.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(source, "bin")
        good = hashlib.sha256(archive.read_bytes()).hexdigest()
        into = lambda version, sum: subprocess.run(["sh", fetch, folder.as_uri(), version, sum, folder / "out"], capture_output=True, text=True)
        for version, sum, said in (("", good, "give the runner's version"), ("9.9.9", "", "give the runner's version"),
                                   ("9.9.9", "0" * 64, f"sha256 {good}, not")):
            done = into(version, sum)
            check(done.returncode != 0 and said in done.stderr, done)
            check(not (folder / "out").exists(), "something was unpacked")
        equal(into("9.9.9", good).returncode, 0)
        check((folder / "out/bin/Runner.Listener").exists())


boundaries = []


def life(crash_at=None, app=True):
    """One job's life; with `crash_at` the daemon dies at that boundary and another goes on."""
    with World(app=app) as w:
        d = w.daemon
        id = w.github.queue("echo once")
        d.start(wait=False, MAYFLY_STEP_LOG=str(w.steps), **({"MAYFLY_CRASH_AT_STEP": str(crash_at)} if crash_at else {}))

        def patiently(what, ask, seconds=100):
            def once():
                if d.process.poll() is not None:
                    equal(d.process.returncode, -9, "how the daemon ended", d.said())
                    d.start(wait=False)
                try:
                    return ask()
                except (OSError, http.client.HTTPException):
                    return None
            return wait_for(lambda: f"{what}; registered: {w.github.registered()}; the daemon said: {d.said()}", once, seconds)

        patiently("the job's end at GitHub", lambda: w.github.job(id)["status"] == "completed")
        patiently("the end of all that it took", lambda: (jobs := w.jobs()) and all(j["state"] in FINAL for j in jobs)
                  and not w.github.registered() and not d.builders())
        if not crash_at:
            boundaries[:] = w.steps.read_text().splitlines()
        patiently("an answer", d.answers)
        job = w.github.job(id)
        equal((job["conclusion"], job["outputs"]), ("success", 1))
        took = [j for j in w.jobs() if j["external"]["runner"] == job["runner"]]
        equal([j["state"] for j in took], ["succeeded"], w.jobs())
        d.get("/v1/ledger/verification")


def every_step():
    life()
    for k, step in enumerate(list(boundaries), 1):
        # Signed in as an App, which needs requests of its own; at some steps by token.
        CASES.append((f"killed at step {k}, {step}", lambda k=k: life(k, app=k % 4 != 0)))


CASES.append(("a life without a crash", every_step))

if __name__ == "__main__":
    main()
