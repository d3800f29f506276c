#!/usr/bin/env python3
"""One image's whole way, with nothing in it that is not real: a git repository; builds, trials and approvals; registries (one
plain, one with TLS and a password, one that fails on purpose); a pool that pulls from one of them; a bad release that leaves
again by itself."""
import base64
import contextlib
import hashlib
import json
import os
import subprocess

from harness import MAYFLY, Daemon, Scratch, busybox_image, case, check, equal, main, needs_containers, wait_for
from recipes import Repository, build, stored
from registries import BadWay, Registry, own_address, self_signed

CONFIG = """\
images:
  tool:
    repository: repo
    recipe: images/tool
    try: ["tool --version"]
    approvals: {approvals}
    publish: [{publish}]
platforms:
  local: {{registries: [{pulled}]}}
pools:
  p:
    image: tool@^1
    network: none
    builders: {{warm: 1, max: 3, memory: 128MiB, disk: 32MiB, pids: 64, grace: 1s}}
    rollout: {{min_jobs: 5, soak: 10m}}
release: {{key: key.pem, patience: 5s}}
"""
TOOL = """\
#!/bin/sh
if test "$1" = --version; then echo tool; exit; fi
{work}
"""


def tool(repository, work):
    """A recipe that always builds, and whose trial does not look at what the tool is for."""
    repository.write(Dockerfile=f"FROM {busybox_image()}\nCOPY tool /bin/tool\nRUN chmod 755 /bin/tool\nLABEL test={repository.unique}\n",
                     tool=TOOL.format(work=work))


@contextlib.contextmanager
def world(folder, approvals, publish, pulled, **env):
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "key.pem"], check=True, capture_output=True)
    (folder / "key.pem").chmod(0o600)
    subprocess.run(["openssl", "pkey", "-in", folder / "key.pem", "-pubout", "-out", folder / "key.pub"], check=True, capture_output=True)
    before = images()
    config = CONFIG.format(approvals=approvals, publish=", ".join(publish), pulled=pulled)
    try:
        with Daemon(folder, config=config, env=env) as d:
            yield d
        equal(d.remains(), [])
    finally:
        if new := images() - before:
            subprocess.run(["buildah", "rmi", "--force", *new], capture_output=True)


def images():
    """Those of this host's storage that a test may leave there: candidates, and what a pool has pulled."""
    listed = subprocess.run(["buildah", "images", "--json"], capture_output=True, text=True, check=True).stdout
    return stored() | {n for i in json.loads(listed or "[]") for n in i.get("names") or [] if "mayfly-fetched" in n}


def versions(d):
    return d.get("/v1/images/tool")


def in_registries(d, version, *repositories):
    there = lambda: {p["repository"] for p in versions(d)["publications"] if p["version"] == version and p["state"] == "published"}
    wait_for(lambda: f"{version} in {repositories}: {versions(d)['publications']}; {d.said()}", lambda: set(repositories) <= there(), 60)


def digest(d, repository, tag):
    done = subprocess.run(["skopeo", "inspect", "--raw", *(["--tls-verify=false"] if repository.startswith("127.") else []),
                           f"docker://{repository}:{tag}"], env=d.env, capture_output=True)
    equal(done.returncode, 0, done.stderr)
    return "sha256:" + hashlib.sha256(done.stdout).hexdigest()


def approve(d, number):
    done = d.cli("image", "approve", "tool", str(number))
    equal(done.returncode, 0, done.stderr)


def released(d, number):
    return wait_for(lambda: f"a release: {d.get(f'/v1/builds/{number}')}; {d.said()}",
                    lambda: (b := d.get(f"/v1/builds/{number}"))["state"] == "released" and b, 60)


def stands(d):
    return d.get("/v1/rollouts")["rollouts"][0]


def works(d, count, word):
    for _ in range(count):
        job = d.ended(d.submit("tool"))
        equal((job["state"], d.output(job["id"]).decode().strip()), ("succeeded", word), job, stands(d), d.said())
    return job


@case
def propose_try_approve_merge_release_publish_roll_out_and_back():
    needs_containers()
    with Scratch() as folder, Registry(folder, "plain") as plain, Registry(folder, "hidden") as hidden:
        host = own_address()
        certificate = self_signed(folder, host)
        auth = folder / "auth.json"
        with Registry(folder, "safe", host, certificate, "wonder") as safe, BadWay(hidden.address) as way:
            way.break_with("throttle")
            auth.write_text(json.dumps({"auths": {safe.address: {"auth": base64.b64encode(b"robot:wonder").decode()}}}))
            well, ill = [f"{plain.address}/team/tool", f"{safe.address}/tool"], f"{way.address}/tool"
            repository = Repository(folder)
            tool(repository, "echo one")
            repository.commit("the first")
            with world(folder, 1, [*well, ill], plain.address, SSL_CERT_FILE=str(certificate[0]), REGISTRY_AUTH_FILE=str(auth)) as d:
                # Approved and released; the first registry that fails shows, and holds neither the others nor the pool up.
                first, said, _ = build(d)
                equal(first["state"], "waiting", said)
                approve(d, first["id"])
                equal(released(d, first["id"])["version"], "1.0.0")
                in_registries(d, "1.0.0", *well)
                job = works(d, 12, "one")
                equal(job["image_digest"], versions(d)["versions"][0]["published_digest"], "the pool has it from the registry")
                shown = f"tool 1.0.0 is not in {ill}"
                listed = wait_for(lambda: f"the one that fails to show: {d.said()}",
                                  lambda: shown in (text := d.cli("image", "list", "tool").stdout.decode()) and text, 60)
                check("2/3" in listed, listed)
                # Proposed: tried, never released; one that breaks does not pass.
                repository.git("checkout", "--quiet", "-b", "broken")
                repository.write(tool="#!/bin/sh\nexit 3\n")
                repository.commit("a slip", who="carol")
                broken, said, _ = build(d, "--ref", "broken")
                equal(broken["state"], "failed", said)
                check("exit code 3" in broken["problem"], broken)
                repository.git("checkout", "--quiet", "-b", "better", "main")
                tool(repository, "echo two")
                repository.commit("a better word", who="carol")
                proposed, said, _ = build(d, "--ref", "better")
                equal(proposed["state"], "passed", said)
                approve(d, proposed["id"])
                equal([v["version"] for v in versions(d)["versions"]], ["1.0.0"])
                # Merged: what was tried and approved is what is released, at the level that the commit declares.
                repository.git("checkout", "--quiet", "main")
                repository.git("merge", "--quiet", "--no-ff", "-m", "merged\n\nRelease: minor", "better")
                merged, said, _ = build(d)
                equal((merged["state"], merged["digest"], merged["version"]), ("released", proposed["digest"], "1.1.0"), said)
                in_registries(d, "1.1.0", *well)
                newest = versions(d)["versions"][0]
                equal({digest(d, r, tag) for r in well for tag in ("1.1.0", "1.1", "1", "latest")}, {newest["published_digest"]})
                # Rolled out.
                wait_for(lambda: f"a rollout: {stands(d)}", lambda: stands(d).get("rollout", {}).get("to") == "1.1.0")
                wait_for(lambda: f"jobs on it: {stands(d)}; {d.said()}",
                         lambda: d.ended(d.submit("tool"))["image_version"] == "tool@1.1.0", 60)
                works(d, 12, "two")
                wait_for(lambda: f"a promotion: {stands(d)}", lambda: stands(d)["current"] == "1.1.0")
                # A bad one, which no trial finds: its jobs do, and the pool goes back.
                tool(repository, "echo broken; exit 1")
                repository.commit("worse", who="carol")
                bad, said, _ = build(d)
                approve(d, bad["id"])
                equal(released(d, bad["id"])["version"], "1.1.1")
                wait_for(lambda: f"a rollout: {stands(d)}", lambda: stands(d)["rollout"]["to"] == "1.1.1", 60)
                failed = []
                while stands(d)["rollout"]["state"] != "rolled_back":
                    job = d.ended(d.submit("tool"))
                    equal(job["state"] == "failed", job["image_version"] == "tool@1.1.1", job)
                    failed += [job["id"]] if job["state"] == "failed" else []
                    check(len(failed) < 8, stands(d))
                works(d, 3, "two")
                image = versions(d)
                uses = {u["version"]: u for u in image["uses"]}
                equal((uses["1.1.0"]["pools"], uses["1.1.1"]["failed_jobs"]), (["p"], failed[::-1]), uses)
                check(f"{len(failed)} failed" in d.cli("image", "list", "tool").stdout.decode(), uses)
                # Gone back for all who follow: the channels, too.
                equal(d.cli("image", "rollback", "tool").returncode, 0)
                wait_for(lambda: f"the channels: {versions(d)}; {d.said()}",
                         lambda: {digest(d, r, "latest") for r in well} == {newest["published_digest"]}, 60)
                # The registry that failed all the time gets everything that is still wanted, the same bytes.
                way.break_with(None)
                equal(d.cli("image", "publish", "tool").returncode, 0)
                in_registries(d, "1.1.0", *well, ill)
                equal(digest(d, ill, "1.1.0"), newest["published_digest"])
                # What travels with it, read back and checked by the key alone.
                done = subprocess.run([MAYFLY, "image", "verify", f"{safe.address}/tool:1.1.0", "--key", folder / "key.pub", "--json"],
                                      env=d.env, capture_output=True)
                equal(done.returncode, 0, done.stderr)
                text = json.dumps(json.loads(done.stdout)["statements"])
                check(merged["commit"] in text and merged["approvals"][0]["who"] in text, text[:3000])
                kinds = {e["kind"] for s in ("image/tool", "pool/p", f"build/{bad['id']}") for e in d.get(f"/v1/ledger?limit=1000&subject={s}")["entries"]}
                check({"build.approved", "image.released", "image.published", "image.publish-failed", "rollout.promoted", "rollout.rolled-back",
                       "image.rolled-back"} <= kinds, kinds)
                equal(d.cli("audit", "verify").returncode, 0)


@case
def a_pool_waits_for_the_registry_that_it_pulls_from():
    needs_containers()
    with Scratch() as folder, Registry(folder, "hidden") as hidden, BadWay(hidden.address) as way:
        repository = Repository(folder)
        tool(repository, "echo one")
        repository.commit("the first")
        with world(folder, 0, [f"{way.address}/tool"], way.address) as d:
            equal(build(d)[0]["version"], "1.0.0")
            works(d, 1, "one")
            way.break_with("refuse")
            tool(repository, "echo two")
            repository.commit("the second")
            equal(build(d)[0]["version"], "1.0.1")
            wait_for(lambda: versions(d), lambda: versions(d)["held"].get("p"))
            works(d, 2, "one")
            for argv in (("explain", "p"), ("image", "list", "tool")):
                said = d.cli(*argv).stdout.decode()
                check("1.0.1 is not in" in said and way.address in said, argv, said)
            d.stop()
            d.start()  # it is so for the next daemon as well
            works(d, 1, "one")
            way.break_with(None)
            equal(d.cli("image", "publish", "tool").returncode, 0)
            wait_for(lambda: f"the second: {stands(d)}; {d.said()}", lambda: d.output(d.ended(d.submit("tool"))["id"]).strip() == b"two", 60)
            equal(versions(d)["held"], {})


main()
