#!/usr/bin/env python3
"""Azure DevOps end to end, with a stand-in for the service (azure_devops_server.py) and one for its agent in the builders
(azure_agent.py): each job in a builder of its own, from no builder to no builder, nothing left at the service whenever the daemon
is killed, and no token anywhere but where it was put."""
import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

from harness import CASES, ROOT, Daemon, Scratch, Skip, busybox_image, but, case, check, equal, guide_blocks, main, needs_containers, wait_for
import leftovers

sys.path.insert(0, str(Path(__file__).parent))
from azure_devops_server import CLIENT_SECRET, FALLBACK, PAT  # noqa: E402

IMAGE = "localhost/mayfly/test-azure-agent:1"
PLACEHOLDER = "mayfly-placeholder-p"
CONFIG = """\
secrets:
  azure: {{file: {folder}/secrets/azure}}
  weak: {{file: {folder}/secrets/weak}}
pools:
  p:
    image: {image}
    network: host
    builders: {{warm: 0, max: 5, memory: 512MiB, disk: 64MiB, pids: 256, timeout: 2m, grace: 1s}}
    ci:
      azure-devops:
        url: {url}/acme
        pool: linux
        {sign_in}
        agent_version: "4.255.0"
        capabilities: {{docker: "yes", tools: sharp}}
"""
TOKEN = "token: azure"
PRINCIPAL = "a service principal"
WITH_FALLBACK = "token: azure\n        fallback_token: weak"


class Server:
    """The stand-in as a process."""

    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, str(ROOT / "tests/e2e/azure_devops_server.py")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def tell(self, word, **what):
        request = urllib.request.Request(f"{self.url}/_test/{word}", json.dumps(what).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def state(self):
        return self.tell("state")

    def agents(self):
        return [a["name"] for a in self.state()["agents"]]

    def results(self):
        return [r["result"] for r in self.state()["requests"]]


def agent_image():
    """Busybox, this host's Python, the recipe's way to take one job, and the stand-in agent as run.sh. Made once."""
    entry = ROOT / "images/azure-devops/take-one-job"
    programs = {"run.sh": ROOT / "tests/e2e/azure_agent.py", "config.sh": ROOT / "tests/e2e/azure_config.py"}
    base = busybox_image()
    with Scratch() as folder:
        root = folder / "root"
        agent = folder / "agent"
        agent.mkdir()
        shutil.copy(entry, agent / "take-one-job")
        for name, program in programs.items():
            (agent / name).write_text(program.read_text().replace("#!/usr/bin/env python3", "#!/usr/bin/python3"))
            (agent / name).chmod(0o755)
        python = Path(sys.executable).resolve()
        library = Path(os.__file__).parent
        shutil.copytree(library, root / str(library)[1:], ignore=shutil.ignore_patterns(
            "__pycache__", "test", "tests", "idlelib", "ensurepip", "lib2to3", "pydoc_data", "dist-packages", "site-packages", "config-*",
            "_ssl*", "_hashlib*"))
        binary = root / "usr/bin/python3"
        (root / "workspace").mkdir(parents=True)
        binary.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(python, binary)
        objects = [str(python), *map(str, (root / str(library)[1:] / "lib-dynload").glob("*.so"))]
        for line in subprocess.run(["ldd", *objects], capture_output=True, text=True).stdout.splitlines():
            path = next((w for w in line.split() if w.startswith("/") and not w.endswith(":")), None)
            if path and not (root / path[1:]).exists():
                (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, root / path[1:])
        (root / "etc").mkdir()
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nbuilder:x:1000:1000::/home/builder:/bin/sh\n")
        (root / "etc/group").write_text("root:x:0:\nbuilder:x:1000:\n")
        run = lambda *a: subprocess.run(["buildah", *a], check=True, capture_output=True, text=True).stdout.strip()
        try:
            container = run("from", base)
            run("add", container, str(root), "/")
            run("add", "--chown", "1000:1000", container, str(agent), "/opt/azure-agent")
            run("config", "--user", "1000:1000", "--workingdir", "/workspace", "--env", "PATH=/bin:/usr/bin", container)
            run("commit", "--quiet", container, IMAGE)
            run("rm", container)
        except subprocess.CalledProcessError as e:
            raise Skip(f"no image can be made on this host: {e.stderr.strip()}")
    return IMAGE


_image = None


@contextlib.contextmanager
def world(sign_in=TOKEN, secret=PAT, config=CONFIG):
    """A server and a daemon that is not started yet."""
    global _image
    needs_containers()
    _image = _image or agent_image()
    with Scratch() as folder, Server() as server:
        (folder / "secrets").mkdir(mode=0o700)
        for name, value in (("azure", secret), ("weak", FALLBACK)):
            (folder / "secrets" / name).write_text(value + "\n")
            (folder / "secrets" / name).chmod(0o600)
        if sign_in == PRINCIPAL:
            sign_in = "tenant_id: tenant-1\n        client_id: client-1\n        client_secret: azure\n        login_url: " + server.url
        d = Daemon(folder, config=config.format(folder=folder, image=_image, url=server.url, sign_in=sign_in))
        try:
            yield server, d
        finally:
            d.kill()


def holds(folder, words):
    """The files below that hold one of these words."""
    return [str(p) for p in Path(folder).rglob("*") if p.is_file() and not p.is_socket()
            and any(w in p.read_bytes() for w in words)]


def all_over(server, count):
    return lambda: len([r for r in server.results() if r]) == count


def ten_jobs(sign_in, secret):
    with world(sign_in, secret) as (server, d):
        server.tell("set", strict=True, second_job=True)
        d.start()
        wait_for("the placeholder", lambda: server.agents() == [PLACEHOLDER])
        for _ in range(10):
            server.tell("queue", demands=["docker", "tools -equals SHARP"])
        wait_for(lambda: f"ten jobs to end: {server.results()}; {d.said()}", all_over(server, 10), 120)
        equal(server.results(), ["succeeded"] * 10)
        d.no_builders()
        wait_for(lambda: f"the agents' end: {server.agents()}; {d.said()}", lambda: server.agents() == [PLACEHOLDER], 60)
        state = server.state()
        equal(state["leaks"], [])
        agents = [r["agent"] for r in state["requests"]]
        equal(len(set(agents)), 10, "agents that had a job", agents)

        jobs = [j for j in d.get("/v1/jobs?limit=100")["jobs"] if j["state"] == "succeeded"]
        equal(len({j["builder"] for j in jobs}), 10, jobs)
        for j in jobs:
            check("buildId=" in json.dumps(j), "no link to the run", j)
            log = d.output(j["id"])
            check(b"found: []" in log, "the job found", log)
        d.get("/v1/ledger/verification")
        equal(d.stop(), 0, d.said())
        secrets = [PAT.encode(), CLIENT_SECRET.encode(), base64.b64encode(f":{PAT}".encode()), b"inverseQ", b'"dp":']
        equal(holds(d.state, secrets), [], "credentials on disk")
        equal(holds(d.log.parent, [PAT.encode(), CLIENT_SECRET.encode(), b"inverseQ"]), [str(d.folder / "secrets/azure")])
        left = leftovers.everything(d.state)
        check(not left, *left)


@case
def the_guides_own_configuration_serves_the_guides_own_pipeline():
    guide, pipeline = guide_blocks("azure-devops.md", "yaml")
    config = but(guide.replace("{", "{{").replace("}", "}}"), ("/etc/mayfly/azure-token", "{folder}/secrets/azure"),
                 ("image: azure\n", "image: {image}\n    network: host\n"),  # where the stand-in service and its agent are
                 ("organization: acme ", "url: {url}/acme "), ("memory: 8GiB", "memory: 512MiB"))
    demand = re.search(r"demands: (\w+)", pipeline)[1]
    with world(config=config) as (server, d):
        d.start()
        wait_for("the placeholder", lambda: server.agents() == ["mayfly-placeholder-linux"])
        server.tell("queue", demands=[demand])
        wait_for(lambda: f"the job's end: {server.results()}; {d.said()}", all_over(server, 1), 90)
        equal(server.results(), ["succeeded"])
        wait_for(lambda: f"the agents' end: {server.agents()}; {d.said()}", lambda: server.agents() == ["mayfly-placeholder-linux"], 60)
        job = d.ended(d.get("/v1/jobs")["jobs"][0]["id"])
        shown = d.cli("jobs").stdout.decode()
        check(job["external"]["id"] in shown or job["external"]["name"] in shown, shown)
        check(job["external"]["url"] in d.cli("explain", str(job["id"])).stdout.decode(), "no link to the run")
        equal(d.get("/v1/status")["notice"], "")
        equal(d.stop(), 0, d.said())


@case
def ten_jobs_by_token():
    ten_jobs(TOKEN, PAT)


@case
def ten_jobs_by_service_principal():
    ten_jobs(PRINCIPAL, CLIENT_SECRET)


@case
def a_server_that_refuses_gets_agents_that_register_themselves_and_the_ledger_says_so():
    with world(WITH_FALLBACK) as (server, d):
        server.tell("set", refuse=405)
        d.start()
        wait_for("the placeholder", lambda: server.agents() == [PLACEHOLDER])
        for _ in range(2):
            server.tell("queue", demands=["docker"])
        wait_for(lambda: f"the jobs' end: {server.results()}; {[d.output(j['id']) for j in d.get('/v1/jobs')['jobs']]}; {d.said()}",
                 all_over(server, 2), 60)
        equal(server.results(), ["succeeded"] * 2)
        wait_for(lambda: f"the agents' end: {server.agents()}; {d.said()}", lambda: server.agents() == [PLACEHOLDER], 60)
        equal(server.state()["leaks"], [])
        minted = [json.loads(e["detail"]) for e in d.get("/v1/ledger?limit=1000")["entries"] if e["kind"] == "ci.minted"]
        equal(len(minted), 2, minted)
        for m in minted:
            check("fallback: config.sh in the builder, with the token in secret 'weak'" in m["how"] and "405" in m["how"], m)
        check("gets the token in secret 'weak' to register itself" in d.said(), d.said())
        equal(d.stop(), 0, d.said())
        equal(holds(d.folder, [FALLBACK.encode(), base64.b64encode(f":{FALLBACK}".encode()), b"inverseQ"]),
              [str(d.folder / "secrets/weak")], "credentials on disk")


@case
def a_server_that_refuses_gets_no_token_unless_the_configuration_says_so():
    with world() as (server, d):
        server.tell("set", refuse=405)
        d.start()
        server.tell("queue", demands=["docker"])
        waits = lambda: [j["waiting"] for j in d.get("/v1/jobs")["jobs"] if j["state"] == "queued" and "405" in j["waiting"]["text"]]
        wait_for(lambda: f"the job to say why it waits: {d.get('/v1/jobs')}", waits, 60)
        equal(waits()[0]["code"], "ci_unavailable")
        server.tell("set", refuse=None)
        wait_for(lambda: f"the job's end: {server.results()}; {d.said()}", all_over(server, 1), 90)
        wait_for("the agent's end", lambda: server.agents() == [PLACEHOLDER], 60)  # a builder that is busy outlives the daemon
        equal(d.stop(), 0, d.said())


@case
def ghosts_are_taken_off_and_strangers_stay():
    with world() as (server, d):
        d.start()
        wait_for("the placeholder", lambda: server.agents() == [PLACEHOLDER])
        server.tell("queue", demands=["docker"])
        wait_for(lambda: f"the job's end: {d.said()}", all_over(server, 1), 60)
        wait_for("the agent's end", lambda: server.agents() == [PLACEHOLDER], 60)
        prefix = next(r for r in server.state()["seen"] if r.startswith("DELETE"))
        check(prefix)
        runner = next(j for j in d.get("/v1/jobs")["jobs"])
        name = json.dumps(runner)
        ours = name[name.index("mf-"):].split('"')[0].rsplit("-", 1)[0] + "-999"
        equal(d.stop(), 0, d.said())
        server.tell("register", name=ours)
        server.tell("register", name="somebody-else")
        d.start()
        wait_for(lambda: f"the ghost's end: {server.agents()}; {d.said()}",
                 lambda: server.agents() == [PLACEHOLDER, "somebody-else"], 60)
        equal(d.stop(), 0, d.said())


@case
def a_failing_service_loses_nothing():
    with world() as (server, d):
        d.start()
        wait_for("the placeholder", lambda: server.agents() == [PLACEHOLDER])
        for fault in ("server_error", "not_json", "truncated", "throttled"):
            server.tell("set", fault=fault)
            server.tell("queue", demands=["docker"])
            seen = len(server.state()["seen"])
            wait_for("a look at the queue", lambda: len(server.state()["seen"]) > seen)
            server.tell("set", fault="none")
        wait_for(lambda: f"four jobs to end: {server.results()}; {d.said()}", all_over(server, 4), 120)
        equal(server.results(), ["succeeded"] * 4)
        wait_for(lambda: f"the agents' end: {server.agents()}", lambda: server.agents() == [PLACEHOLDER], 90)
        equal(d.stop(), 0, d.said())


@case
def a_builder_that_dies_is_a_loss_and_no_failed_job():
    with world() as (server, d):
        server.tell("queue", demands=["docker"], seconds=600)
        d.start()
        wait_for(lambda: f"the job to run: {d.said()}", lambda: any(r["receiveTime"] for r in server.state()["requests"]), 60)
        runner = next(a for a in server.agents() if a != PLACEHOLDER)
        job = d.get("/v1/jobs")["jobs"][0]["id"]
        wait_for("its words", lambda: b"Running job" in d.output(job))
        inside = [p for p in Path("/proc").glob("[0-9]*") if holds_cmdline(p, b"./run.sh\0--once")]
        equal(len(inside), 1, inside)
        os.kill(int(inside[0].name), 9)
        # The service would notice some minutes later that nobody renews the agent's lock on the job.
        wait_for("Mayfly to ask what became of it", lambda: "ci.asked" in json.dumps(d.get("/v1/ledger?limit=1000")))
        server.tell("offline", runner=runner)
        ended = d.ended(job)
        equal((ended["state"], ended["result"]["cause"]), ("lost", "builder_lost"), ended)
        check("abandoned" in ended["result"]["message"], ended)
        wait_for(lambda: f"the agent's end: {server.agents()}", lambda: server.agents() == [PLACEHOLDER], 60)
        equal(d.stop(), 0, d.said())


def holds_cmdline(process, words):
    try:
        return words in (process / "cmdline").read_bytes()
    except OSError:
        return False


def life(crash_at=None):
    """One job's life; with `crash_at` the daemon dies at that boundary and another goes on. Gives the boundaries passed."""
    with world() as (server, d):
        server.tell("queue", demands=["docker"])
        steps = d.folder / "steps"
        d.start(wait=False, MAYFLY_STEP_LOG=str(steps), **({"MAYFLY_CRASH_AT_STEP": str(crash_at)} if crash_at else {}))

        def alive():
            if d.process.poll() is not None:
                equal(d.process.returncode, -9, "how the daemon ended", d.said())
                d.start(wait=False)

        def over():
            alive()
            return server.results() == ["succeeded"]

        def clean():
            alive()
            return server.agents() == [PLACEHOLDER]

        def concluded():
            alive()
            with contextlib.suppress(OSError):
                jobs = d.get("/v1/jobs")["jobs"]
                return [j["state"] for j in jobs].count("succeeded") == 1 and all(j["state"] in ("succeeded", "lost", "cancelled") for j in jobs)

        wait_for(lambda: f"the job's end: {server.results()}; {d.said()}", over, 90)
        wait_for(lambda: f"its success to be known here: {d.get('/v1/jobs')}; {d.said()}", concluded, 60)
        wait_for(lambda: f"the agent's end: {server.agents()}; {d.said()}", clean, 120)
        code = d.stop()
        if code == -9 and crash_at:
            code = d.start().stop()
        equal(code, 0, d.said())
        left = leftovers.everything(d.state)
        check(not left, *left)
        equal(holds(d.state, [PAT.encode(), b"inverseQ"]), [], "credentials on disk")
        return steps.read_text().splitlines() if steps.exists() else []


@case
def a_life_without_a_crash():
    passed = life()
    # Each kind of boundary once, where it is first met: a look at the queue comes every few seconds, for ever.
    first = {}
    for k, step in enumerate(passed, 1):
        first.setdefault(step.split()[-1], k)
    for step, k in first.items():
        CASES.append((f"killed at step {k}, {step}", lambda k=k: life(k)))


main()
