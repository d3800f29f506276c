#!/usr/bin/env python3
"""New versions reach pools that run jobs, good ones and bad ones."""
import contextlib
import json
import re
import shlex
import subprocess

from harness import MAYFLY, ROOT, Daemon, Scratch, busybox_image, case, check, equal, main, needs_containers, wait_for

CONFIG = """\
images:
  general: {{}}
pools:
  p:
    image: general@^1
    network: none
    builders: {{warm: {warm}, max: {max}, memory: 128MiB, disk: 32MiB, pids: 64, grace: 1s}}
    rollout: {{canary: {canary}, min_jobs: {min_jobs}, soak: 10m}}
"""


def make_image(name, word):
    """busybox, and a file /word unless it is None."""
    container = subprocess.check_output(["buildah", "from", busybox_image()], text=True).strip()
    try:
        with Scratch() as folder:
            (folder / "word").write_text(word or "")
            copied = ["/word"] if word else ["/broken"]
            subprocess.run(["buildah", "copy", container, folder / "word", *copied], check=True, capture_output=True)
        subprocess.run(["buildah", "commit", container, name], check=True, capture_output=True)
    finally:
        subprocess.run(["buildah", "rm", container], capture_output=True)
    return name


@contextlib.contextmanager
def pool(warm=2, max=5, canary="0%", min_jobs=10):
    """A daemon, and a function that gives the reference of an image with this word."""
    needs_containers()
    with Scratch() as folder:
        made = []

        def image(word):
            made.append(f"localhost/mayfly-e2e-{folder.name.lower().replace('_', 'x')}:{len(made) + 1}")
            return make_image(made[-1], word)

        try:
            with Daemon(folder, config=CONFIG.format(warm=warm, max=max, canary=canary, min_jobs=min_jobs)) as d:
                yield d, image
            equal(d.remains(), [])
        finally:
            if made:
                subprocess.run(["buildah", "rmi", "-f", *made], capture_output=True)


def release(d, reference, *argv):
    done = d.cli("image", "release", "general", "--reference", reference, "--json", *argv)
    equal(done.returncode, 0, done.stderr)
    return json.loads(done.stdout)["version"]


def stands(d):
    return d.get("/v1/rollouts")["rollouts"][0]


def state(d):
    return stands(d).get("rollout", {}).get("state")


def in_state(d, *wanted, seconds=30):
    wait_for(lambda: f"{wanted}: {stands(d)}; {d.said()}", lambda: state(d) in wanted, seconds)


def ready(d):
    return sorted(b["image_version"] for b in d.builders() if b["state"] == "ready")


def order(d, verb):
    done = d.cli("rollout", verb, "p")
    equal(done.returncode, 0, done.stderr)


@case
def a_rollout_under_load_loses_no_job():
    with pool() as (d, image):
        equal(release(d, image("1.0.0")), "1.0.0")
        jobs = [d.submit("cat /word; sleep 0.1") for _ in range(12)]
        d.running(jobs[0], b"1.0.0")
        equal(release(d, image("1.0.1")), "1.0.1")
        while state(d) != "promoted":
            check(len(jobs) < 200, stands(d))
            jobs.append(d.submit("cat /word; sleep 0.1"))
            d.ended(jobs[-3])
        ran = {}
        for id in jobs:
            job = d.ended(id)
            equal((job["state"], job["attempt"]), ("succeeded", 1), job, d.said())
            equal("general@" + d.output(id).decode().strip(), job["image_version"])
            ran[job["image_version"]] = ran.get(job["image_version"], 0) + 1
        check(ran.get("general@1.0.0", 0) >= 1 and ran.get("general@1.0.1", 0) >= 10, ran)
        wait_for(lambda: f"two new ones: {d.builders()}", lambda: ready(d) == ["general@1.0.1"] * 2)
        explained = d.cli("explain", str(jobs[-1])).stdout.decode()
        check("general@1.0.1" in explained, explained)
        equal(d.cli("audit", "verify").returncode, 0)


@case
def a_bad_version_is_rolled_back_by_itself():
    with pool(warm=1, min_jobs=30) as (d, image):
        release(d, image("good"))
        for id in [d.submit("cat /word") for _ in range(20)]:
            equal(d.ended(id)["state"], "succeeded")
        bad = release(d, image(None))
        failed = 0
        while state(d) != "rolled_back":
            job = d.ended(d.submit("cat /word"))
            failed += job["state"] == "failed"
            equal(job["state"] == "failed", job["image_version"] == f"general@{bad}", job)
            check(failed < 8, stands(d))
        check("by chance" in stands(d)["rollout"]["why"], stands(d))
        wait_for(lambda: f"the old one again: {d.builders()}", lambda: ready(d) == ["general@1.0.0"])
        for id in [d.submit("cat /word") for _ in range(5)]:
            equal(d.ended(id)["state"], "succeeded")
        kinds = [e["kind"] for e in d.get("/v1/ledger?limit=10000&subject=pool/p")["entries"]]
        check("rollout.rolled-back" in kinds and "rollout.promoted" not in kinds, kinds)
        d.kill()
        d.start()
        equal(d.ended(d.submit("cat /word"))["image_version"], "general@1.0.0", "nor is it tried again after a restart")
        equal(release(d, image("mended")), "1.0.2")
        in_state(d, "watching")
        wait_for(lambda: f"the mended one: {d.builders()}", lambda: ready(d) == ["general@1.0.2"])


@case
def a_version_whose_builders_do_not_start_never_gets_a_job():
    with pool(warm=1) as (d, image):
        release(d, image("good"))
        equal(d.ended(d.submit("cat /word"))["state"], "succeeded")
        reference = image("gone")
        order_before = ready(d)
        equal(release(d, reference, "--version", "1.1.0-rc.1"), "1.1.0-rc.1")
        equal(state(d), None, "a candidate is followed by nobody")
        subprocess.run(["buildah", "rmi", "-f", reference], check=True, capture_output=True)
        done = d.cli("image", "release", "general", "--reference", reference)
        equal(done.returncode, 1, "it is gone, so it cannot be released")
        equal(ready(d), order_before)


@case
def people_pause_resume_roll_back_and_promote():
    with pool(warm=0, min_jobs=3) as (d, image):
        release(d, image("one"))
        equal(d.ended(d.submit("cat /word"))["state"], "succeeded")
        equal(d.cli("rollout", "pause", "p").returncode, 1, "there is nothing to pause")
        release(d, image("two"))
        in_state(d, "watching")
        order(d, "pause")
        for _ in range(5):
            equal(d.ended(d.submit("cat /word"))["image_version"], "general@1.0.1")
        equal((state(d), stands(d)["rollout"]["paused"]), ("watching", True))
        order(d, "rollback")
        equal(d.ended(d.submit("cat /word"))["image_version"], "general@1.0.0")
        order(d, "resume")
        in_state(d, "watching")
        equal(d.ended(d.submit("cat /word"))["image_version"], "general@1.0.1")
        order(d, "promote")
        equal(stands(d)["current"], "1.0.1")
        listed = d.cli("rollout", "list").stdout.decode()
        check("promoted" in listed and "1.0.1" in listed, listed)
        equal(d.cli("image", "rollback", "general").returncode, 0)
        wait_for(lambda: stands(d), lambda: stands(d)["current"] == "1.0.0", 10)
        equal(d.ended(d.submit("cat /word"))["image_version"], "general@1.0.0")
        shown = json.loads(d.cli("image", "list", "general", "--json").stdout)
        equal([(v["version"], v["state"]) for v in shown["versions"]], [("1.0.1", "withdrawn"), ("1.0.0", "released")])


@case
def a_canary_gets_its_share():
    with pool(warm=0, max=1, canary="25%", min_jobs=4) as (d, image):
        release(d, image("one"))
        equal(d.ended(d.submit("cat /word"))["state"], "succeeded")
        release(d, image("two"))
        equal(state(d), "canary")
        wait_for(lambda: d.said(), lambda: b'"image.ready"' in json.dumps(d.get("/v1/ledger?limit=10000")).encode())
        ran = []
        while state(d) == "canary":
            ran.append(d.ended(d.submit("cat /word"))["image_version"])
            check(len(ran) < 40, stands(d))
        share = ran.count("general@1.0.1") / len(ran)
        check(0.15 < share < 0.45, ran)


@case
def a_rollout_goes_on_after_kill_9():
    with pool(warm=2, max=4, min_jobs=8) as (d, image):
        release(d, image("one"))
        wait_for(lambda: f"two are ready: {d.builders()}", lambda: len(ready(d)) == 2)
        long = d.submit("cat /word; sleep 4; echo end")
        d.running(long, b"one")
        second = image("two")
        release(d, second)
        d.kill()
        d.start()
        in_state(d, "watching")
        jobs = [d.submit("cat /word") for _ in range(4)]
        d.kill()
        d.start()
        jobs += [d.submit("cat /word") for _ in range(8)]
        for id in jobs:
            equal(d.ended(id)["state"], "succeeded", d.said())
        in_state(d, "promoted")
        equal((d.ended(long)["state"], d.output(long)), ("succeeded", b"oneend\n"), "a busy builder is left to finish")
        equal(stands(d)["current"], "1.0.1")
        equal(d.cli("audit", "verify").returncode, 0)


@case
def the_guide_says_what_happens():
    text = (ROOT / "docs/rollouts.md").read_text()
    config = re.search(r"```yaml\n(.*?)```", text, re.S).group(1)
    commands = [line for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines()]
    check(len(commands) > 12, commands)
    needs_containers()
    with Scratch() as folder:
        names = {f"localhost/general:{n}": f"localhost/mayfly-e2e-guide-{folder.name.lower().replace('_', 'x')}:{n}" for n in (1, 2)}
        try:
            for guide, real in names.items():
                make_image(real, guide)
            with Daemon(folder, config=config) as d:
                for command in commands:
                    argv = shlex.split(command)
                    equal(argv[0], "mayfly")
                    if argv[1:3] == ["rollout", "promote"]:
                        in_state(d, "warming", "watching")
                    done = subprocess.run([MAYFLY, *(names.get(a, a) for a in argv[1:])], env=d.env, capture_output=True, timeout=60)
                    equal(done.returncode, 0, command, done.stdout, done.stderr)
                    if argv[1] == "run":
                        equal(done.stdout, b"localhost/general:1")
                wait_for(lambda: stands(d), lambda: stands(d)["current"] == "1.0.0", 10)
            equal(d.remains(), [])
        finally:
            subprocess.run(["buildah", "rmi", "-f", *names.values()], capture_output=True)


if __name__ == "__main__":
    main()
