#!/usr/bin/env python3
"""A real Buildbot master whose builds run in Mayfly's builders, one in each, by the latent worker that ships."""
import hashlib
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

from buildbot_master import Master, free_port
from harness import ROOT, Daemon, Scratch, Skip, but, case, check, equal, guide_blocks, main, needs_containers, wait_for

POOL = """\
images:
  buildbot:
    recipe: {root}/images/buildbot
    args: {{BASE: {base}}}
pools:
  bb:
    image: buildbot
    ci: buildbot
    network: {network}
    builders: {{warm: 0, max: 6, memory: 384MiB, disk: 96MiB, pids: 64, timeout: 5m, grace: 2s}}
"""

def own_address():
    """Of this host in a network that is not its loopback. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("198.51.100.1", 9))
        except OSError:
            raise Skip("this host has no network but its loopback, which builders with egress cannot reach")
        return s.getsockname()[0]


def needs_buildbot():
    needs_containers()
    if not shutil.which("buildbot"):
        raise Skip("no Buildbot master here: apt-get install buildbot")
    made = subprocess.run([ROOT / "tools/make-base-image", "docker.io/library/debian:bookworm-slim", "buildbot-worker"],
                          capture_output=True, text=True)
    if made.returncode:
        raise Skip(f"no base image with buildbot-worker can be made here: {made.stderr}")
    return made.stdout.strip()


def all_log(daemon):
    return "".join(p.read_text(errors="replace") for p in Path(daemon.state).glob("jobs/*/log"))


def drain(builds, network="host", address="127.0.0.1"):
    base = needs_buildbot()
    with Scratch() as folder:
        daemon = Daemon(folder, config=POOL.format(root=ROOT, base=base, network=network))
        with daemon:
            with Master(folder, daemon.state / "mayfly.sock", address) as master:
                equal(daemon.builders(), [], "at rest there is no builder")
                master.run(builds)
                wait_for(lambda: f"{builds} builds, of which {len(master.results())} are done: {daemon.get('/v1/status')} "
                                 f"{master.said()[-3000:]} {all_log(daemon)[-1500:]}",
                         lambda: len(master.results()) == builds, 60 + 8 * builds)
                wait_for(lambda: f"no job: {daemon.get('/v1/jobs?ended=false')}",
                         lambda: not daemon.get("/v1/jobs?ended=false")["jobs"], 60)
                daemon.no_builders(60)
                found = judge(master, daemon, builds)
            equal(found, None)
        equal(daemon.remains(), [])


def wrong(master, daemon, numbers, expected):
    """What the master and the jobs say of the builds that did not end as they should."""
    bad = {n for n, result in numbers.items() if result != expected.get(n)}
    lines = [line for line in master.said().splitlines() if any(f"number:{n} " in line for n in bad)]
    jobs = [j for j in daemon.get("/v1/jobs?limit=1000")["jobs"] if j["state"] not in ("succeeded", "failed")]
    return "\n".join([f"builds {sorted(bad)}", *lines[-8:], *(str(j)[:400] for j in jobs[:3])])


def judge(master, daemon, builds):
    numbers = dict(master.ask("SELECT number, results FROM builds"))
    expected = {number: 2 if number % 5 == 0 else 0 for number in range(1, builds + 1)}
    equal(numbers, expected, "no build was repeated, and each ended as it should", wrong(master, daemon, numbers, expected))
    hosts = [json.loads(v) for (v,) in master.ask("SELECT value FROM build_properties WHERE name = 'host'")]
    equal(len(hosts), builds)
    equal(len(set(hosts)), builds, "each build had a builder of its own")
    equal({h.rpartition("-")[0] for h in hosts}, {"bb"})
    jobs = daemon.get("/v1/jobs?limit=1000")["jobs"]
    equal(len(jobs), builds)
    ids = {build: number for build, number in master.ask("SELECT id, number FROM builds")}
    for job in jobs:
        equal(job["ci"], "buildbot")
        number = ids[int(job["external"]["id"].rpartition("/")[2])]
        failed = number % 5 == 0
        equal(job["external"]["result"], "failure" if failed else "success", job)
        equal(job["state"], "failed" if failed else "succeeded", job)
        check(job["external"]["url"].startswith("http://localhost/"), job)
        check(job["builder"] in hosts and job["image_digest"].startswith("sha256:"), job)
    # The passwords of the workers: not in the database, its ledger, a log or the daemon's own log.
    for job in jobs:
        equal(job["spec"]["one_time_secrets"], ["WORKERPASS"])
        check("WORKERPASS" not in job["spec"].get("env", {}), job)
    check("WORKERPASS=" not in all_log(daemon), "a password in a job's log")
    equal(daemon.get("/v1/ledger/verification").get("entries", 0) > 0, True)
    return None


@case
def fifty_builds_each_in_a_builder_of_its_own_from_none_to_none():
    drain(int(os.environ.get("MAYFLY_BUILDBOT_BUILDS", "50")))


@case
def the_guides_own_lines_make_a_builds_builder_over_https():
    """With a certificate and a token, as where the master is on another machine."""
    base = needs_buildbot()
    yaml, = guide_blocks("buildbot.md", "yaml")
    python, = guide_blocks("buildbot.md", "python")
    with Scratch() as folder:
        (folder / "token").write_text("the master's token\n")
        digest = hashlib.sha256(b"the master's token").hexdigest()
        (folder / "tokens").write_text(f"master {digest}\n")
        (folder / "tokens").chmod(0o600)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem",
                        "-out", folder / "cert.pem"], check=True, capture_output=True)
        port = free_port("127.0.0.1")
        config = but(yaml, ("recipe: images/buildbot", f"recipe: {ROOT}/images/buildbot\n    args: {{BASE: {base}}}"),
                     ("ci: buildbot\n", "ci: buildbot\n    network: host\n"), ("warm: 2", "warm: 0"), ("memory: 4GiB", "memory: 384MiB"))
        config += f"server: {{listen: '127.0.0.1:{port}', tls: {{certificate: cert.pem, key: key.pem}}, tokens: tokens}}\n"
        daemon = Daemon(folder, config=config)
        with daemon:
            def after(master_port):
                return "factory = f\n" + but(python, ("ci.example.org:9989", f"127.0.0.1:{master_port}"), (": 9989}", f": {master_port}}}"),
                                             ("mayfly.example.org:8443", f"localhost:{port}"),
                                             ("/etc/buildbot/mayfly.token", f"{folder}/token"),
                                             ("token_file=", f'ca_file="{folder}/cert.pem", token_file=')) + \
                    'c["schedulers"] = [OnDemand(name="on-demand", builderNames=["tests"])]\n'
            with Master(folder, "", after=after) as master:
                master.run(2)
                wait_for(lambda: f"two builds: {master.said()[-3000:]} {all_log(daemon)[-1500:]}", lambda: master.results() == [0, 0], 120)
                daemon.no_builders(60)
                equal({j["spec"]["submitter"] for j in daemon.get("/v1/jobs")["jobs"]}, {"master"})
                check("the master's token" not in master.said(), "the token in the master's log")
        equal(daemon.remains(), [])


@case
def builders_with_egress_reach_a_master_at_an_address_of_its_network():
    if not shutil.which("slirp4netns") or not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise Skip("no egress on this host: slirp4netns or /dev/net/tun is missing")
    drain(6, "egress", own_address())


@case
def a_killed_daemon_costs_no_build():
    base, builds = needs_buildbot(), 12
    with Scratch() as folder:
        daemon = Daemon(folder, config=POOL.format(root=ROOT, base=base, network="host"))
        with daemon:
            with Master(folder, daemon.state / "mayfly.sock") as master:
                master.run(builds)
                wait_for(lambda: f"the first builds: {master.said()[-2000:]}", lambda: len(master.results()) >= 2, 120)
                daemon.kill()
                daemon.start()
                wait_for(lambda: f"{builds} builds, of which {len(master.results())} are done: {daemon.get('/v1/status')} {master.said()[-3000:]}",
                         lambda: len(master.results()) == builds, 150)
                check(set(master.results()) <= {0, 2}, "requests ended otherwise", master.results())
                # A build whose builder was still to come lost its one-time password with the daemon: Buildbot began it again.
                ended = master.ask("SELECT number, results FROM builds ORDER BY number")
                equal(len([r for _, r in ended if r in (0, 2)]), builds, ended)
                check({r for _, r in ended} <= {0, 2, 5}, ended)
                wait_for(lambda: f"no job: {daemon.get('/v1/jobs?ended=false')}",
                         lambda: not daemon.get("/v1/jobs?ended=false")["jobs"], 60)
                daemon.no_builders(60)
                hosts = [v for (v,) in master.ask("SELECT value FROM build_properties WHERE name = 'host'")]
                equal(len(hosts), len(set(hosts)), "no builder had two builds")
                daemon.get("/v1/ledger/verification")
        equal(daemon.remains(), [])


@case
def a_build_whose_image_does_not_exist_ends_with_an_exception_at_once():
    base = needs_buildbot()
    with Scratch() as folder:
        daemon = Daemon(folder, config=POOL.format(root=ROOT, base=base, network="host").replace("image: buildbot", "image: localhost/no-such-image:1"))
        with daemon:
            with Master(folder, daemon.state / "mayfly.sock") as master:
                master.run(1)
                wait_for(lambda: f"the build's end: {master.said()[-2000:]}", lambda: master.results() == [4], 60)
                check("image_unavailable" in master.said(), master.said()[-2000:])
        equal(daemon.remains(), [])


if __name__ == "__main__":
    main()
