#!/usr/bin/env python3
"""Images from recipes in a real git repository: built, looked at, tried by a real job, approved, released."""
import contextlib
import http.client
import os
import pathlib
import subprocess

from harness import Daemon, Scratch, Skip, busybox_image, case, check, equal, main, needs_containers, wait_for
from recipes import Repository, build, discard_builds, stored
from registries import Registry, digest_of

OVER = {"released", "passed", "unchanged", "failed", "cancelled", "superseded"}
CONFIG = """\
images:
  tool:
    repository: repo
    recipe: images/tool
    try: {attempts}
    approvals: {approvals}
{more}
pools:
  p:
    image: {pool}
    network: none
    builders: {{max: 4, memory: 256MiB, disk: 64MiB, pids: 128}}
"""
DOCKERFILE = """\
FROM localhost/mayfly/test-busybox:1
COPY word /word
RUN cat /word > /copied
ENV WORD=yes
"""


@contextlib.contextmanager
def world(word="one", approvals=0, attempts='["test $(cat /copied) = one"]', more="", pool="localhost/mayfly/test-busybox:1", config=None, **files):
    """A repository with a recipe, and a daemon that builds it; afterwards none of its images is left in the storage."""
    needs_containers()
    busybox_image()
    with Scratch() as folder:
        repository = Repository(folder)
        repository.write(**({"Dockerfile": DOCKERFILE + f"LABEL test={repository.unique}\n", "word": word + "\n"} | files))
        repository.commit("the first")
        before = stored()
        try:
            with Daemon(folder, config=config or CONFIG.format(approvals=approvals, attempts=attempts, more=more, pool=pool)) as d:
                d.repository = repository
                yield d
            equal(d.remains(), [])
        finally:
            discard_builds(before)


def settled(d, number, *states):
    return wait_for(lambda: f"build {number} to be {states}: {d.get(f'/v1/builds/{number}')}; {d.said()}",
                    lambda: (b := d.get(f"/v1/builds/{number}"))["state"] in (states or OVER) and b, 90)


@case
def from_a_commit_to_a_released_version_that_a_pool_runs():
    with world() as d:
        b, said, code = build(d)
        equal((b["state"], code), ("released", 0), said, b)
        check("STEP" in said and "test" in said, "the build's log and its trial's", said)
        equal(b["version"], "1.0.0")
        equal(b["commit"], d.repository.git("rev-parse", "HEAD"))
        check(d.job(b["try_job"])["image_digest"] == b["digest"], "the trial ran on the candidate")
        equal(d.cli("image", "list", "tool").returncode, 0)
        versions = d.get("/v1/images/tool")["versions"]
        equal([(v["version"], v["digest"], v["commit"]) for v in versions], [("1.0.0", b["digest"], b["commit"])])
        equal([e["kind"] for e in d.get(f"/v1/ledger?subject=build/{b['id']}")["entries"]][:2], ["build.requested", "build.started"])


@case
def the_same_recipe_is_not_built_again():
    with world() as d:
        first, _, _ = build(d)
        (d.repository.folder / "README").write_text("not of the recipe\n")
        d.repository.commit("elsewhere")
        second, said, _ = build(d)
        equal((second["state"], second["same_as"], second["digest"]), ("released", first["id"], first["digest"]), said)
        equal(second["version"], "1.0.0", "the same digest is the same version")
        again, said, _ = build(d, "--again")
        equal((again["state"], again["digest"]), ("unchanged", first["digest"]), "timestamps are the commit's", said, again)


@case
def a_proposed_change_is_tried_approved_merged_and_released():
    with world(approvals=1, attempts='["test -s /copied"]') as d:
        build(d)
        d.repository.git("checkout", "--quiet", "-b", "better")
        d.repository.write(word="two\n")
        d.repository.commit("a better word", who="carol")
        proposed, said, _ = build(d, "--ref", "better")
        equal((proposed["state"], proposed["release"]), ("passed", False), said)
        me = d.get(f"/v1/builds/{proposed['id']}")["by"]
        done = d.cli("image", "approve", "tool", str(proposed["id"]))
        equal(done.returncode, 0, done.stderr)
        equal(d.cli("image", "approve", "tool", str(proposed["id"])).returncode, 1, "nobody counts twice")
        d.repository.git("checkout", "--quiet", "main")
        d.repository.git("merge", "--quiet", "--no-ff", "-m", "merged\n\nRelease: minor", "better")
        merged, said, _ = build(d)
        equal((merged["state"], merged["digest"]), ("released", proposed["digest"]), said, "what was tried is what is released")
        equal(merged["same_as"], proposed["id"])
        equal([a["who"] for a in merged["approvals"]], [me])
        equal(d.get("/v1/images/tool")["versions"][0]["approved_by"], [me])


@case
def approvals_are_by_others_and_void_after_a_change():
    me = subprocess.check_output(["id", "-un"], text=True).strip()
    with world(approvals=1) as d:
        d.repository.write(word="one\n", note="mine\n")
        d.repository.commit("my own", who=me)
        own, said, _ = build(d)
        equal(own["state"], "waiting", said)
        refused = d.cli("image", "approve", "tool", str(own["id"]))
        equal(refused.returncode, 1)
        check(b"author" in refused.stderr, refused.stderr)
        d.repository.write(note="hers\n")
        d.repository.commit("another", who="ann")
        theirs, said, _ = build(d)
        equal(theirs["state"], "waiting", said)
        equal(settled(d, own["id"])["state"], "superseded", "the recipe changed while it waited")
        d.repository.write(note="pushed meanwhile\n")
        d.repository.commit("later", who="ann")
        refused = d.cli("image", "approve", "tool", str(theirs["id"]))
        check(refused.returncode == 1 and b"changed" in refused.stderr, refused.stderr)
        equal(settled(d, theirs["id"])["state"], "superseded")


@case
def a_syntax_error_names_file_line_and_shows_it():
    with world(Dockerfile="FROM localhost/mayfly/test-busybox:1\n# a comment\nRNU true\n") as d:
        b, said, code = build(d)
        equal((b["state"], code), ("failed", 1))
        for text in ("images/tool/Dockerfile at ", ":3: ", "> ", "3 | RNU true", "Did you mean RUN?"):
            check(text in b["problem"], text, b["problem"])
        equal(b.get("build_job"), None, "no builder was started for it")


@case
def a_step_that_fails_names_its_line():
    with world(Dockerfile="FROM localhost/mayfly/test-busybox:1\nRUN true\nRUN echo gone wrong >&2; exit 3\n") as d:
        b, said, code = build(d)
        equal((b["state"], code), ("failed", 1), said)
        check(":3: " in b["problem"] and "3 | RUN echo gone wrong" in b["problem"], b["problem"])
        check("gone wrong" in said, "the log is followed", said)


# Recipes that build and still must fail.
BROKEN = {
    "a tool that is missing": ({"Dockerfile": DOCKERFILE + "RUN rm /bin/ls\n"}, '["/bin/ls /"]', "trial failed"),
    "a user that is not there": ({"Dockerfile": DOCKERFILE + "USER nobody-here\n"}, "[]", "nobody-here is not in"),
    "an entry point that is not there": ({"Dockerfile": DOCKERFILE + 'ENTRYPOINT ["/opt/start"]\n'}, "[]", "/opt/start is not an executable"),
    "a key that a later step removes": ({"Dockerfile": DOCKERFILE + "COPY key /k\nRUN rm /k\n", "key": "-----BEGIN PRIVATE KEY-----\nMII\n"},
                                        "[]", "holds a private key"),
    "credentials in their usual place": ({"Dockerfile": DOCKERFILE + "COPY word /root/.docker/config.json\n"}, "[]", "must not be in an image"),
    "what the recipe itself forbids": ({"Dockerfile": DOCKERFILE + "COPY word /srv/x.pem\n"}, '[]\n    forbid: ["*.pem"]', "/srv/x.pem must not be"),
}


def broken(name):
    files, attempts, expected = BROKEN[name]

    def run():
        with world(attempts=attempts, **files) as d:
            b, said, code = build(d)
            equal((b["state"], code), ("failed", 1), said, b)
            check(expected in b["problem"], b["problem"], said)
            equal(d.get("/v1/images/tool")["versions"], [], "never a version of it")
    run.__name__ = f"builds and still fails: {name}"
    return run


for name in BROKEN:
    case(broken(name))


@case
def an_image_that_grows_too_much_fails():
    with world(attempts="[]") as d:
        equal(build(d)[0]["state"], "released")
        d.repository.write(Dockerfile=DOCKERFILE + "RUN dd if=/dev/zero of=/big bs=1M count=40\n")
        d.repository.commit("big")
        b, said, _ = build(d)
        equal(b["state"], "failed", said)
        check("larger" in b["problem"], b)


@case
def a_build_secret_is_read_and_left_nowhere():
    secret = "hunter2-sesame-open"
    reads = DOCKERFILE + "RUN --mount=type=secret,id=token test $(cat /run/secrets/token) = " + secret + "\n"
    leaks = DOCKERFILE + "RUN --mount=type=secret,id=token cat /run/secrets/token > /kept\nRUN rm /kept\n"
    more = "    secrets: [token]\nsecrets:\n  token: {env: TEST_TOKEN}\n"
    os.environ["TEST_TOKEN"] = secret
    try:
        with world(attempts="[]", more=more, Dockerfile=reads.replace(secret, "$(echo hunter2-sesame-open)")) as d:
            # The recipe itself names the value here, so that the step can compare: its history holds it, and that is found.
            b, said, _ = build(d)
            check("secret 'token'" in b["problem"], b, said)
            d.repository.write(Dockerfile=leaks)
            d.repository.commit("leaks")
            b, said, _ = build(d)
            equal(b["state"], "failed", said)
            check("secret 'token' is in /kept" in b["problem"], b["problem"])
            d.repository.write(Dockerfile=DOCKERFILE + "RUN --mount=type=secret,id=token test -s /run/secrets/token && wc -c </run/secrets/token >/length\n")
            d.repository.commit("reads")
            b, said, _ = build(d)
            equal(b["state"], "released", said, b)
            check(secret not in said, said)
            for path in d.state.rglob("*"):
                if path.is_file() and not path.is_symlink() and b["id"] != 0 and f"/builds/{b['id']}/" in str(path):
                    check(secret.encode() not in path.read_bytes(), path)
    finally:
        del os.environ["TEST_TOKEN"]


@case
def dockerignore_stages_and_arguments():
    with world(attempts='["test $(cat /greeting) = hello-there", "test ! -e /all/ignored", "test ! -e /made"]',
               more="    args: {WHAT: there}\n",
               Dockerfile="ARG BASE=localhost/mayfly/test-busybox:1\nFROM ${BASE} AS first\nARG WHAT=nobody\nRUN echo hello-$WHAT >/made\n"
                          "FROM ${BASE}\nCOPY --from=first /made /greeting\nCOPY . /all\n",
               **{".dockerignore": "ignored\n", "ignored": "x\n"}) as d:
        b, said, _ = build(d)
        equal(b["state"], "released", said, b)


@case
def a_daemon_killed_in_the_middle_goes_on():
    slow = DOCKERFILE + "RUN sleep 1\n"
    with world(Dockerfile=slow, attempts='["sleep 1"]') as d:
        number = int(d.cli("image", "build", "tool", "--detach").stdout)
        seen = []
        for state in ("building", "trying"):
            settled(d, number, state, *OVER)
            seen.append(d.get(f"/v1/builds/{number}")["state"])
            d.kill()
            d.start()
        equal(seen, ["building", "trying"])
        b = settled(d, number)
        equal((b["state"], b["version"]), ("released", "1.0.0"), b, d.said())
        equal(len([j for j in d.get("/v1/jobs")["jobs"] if j["spec"]["pool"].startswith("try-")]), 1, "one trial, however often")
        equal(d.cli("audit", "verify").returncode, 0)


@case
def a_daemon_that_dies_every_few_steps_makes_one_version_with_its_record():
    with Scratch() as place, Registry(place) as registry:
        repository = f"{registry.address}/team/tool"
        with world(more=f'    publish: ["{repository}"]') as d:
            number = int(d.cli("image", "build", "tool", "--detach").stdout)
            d.kill()

            def finished():
                with contextlib.suppress(OSError, http.client.HTTPException):
                    there = d.get("/v1/images/tool")["publications"]
                    return d.get(f"/v1/builds/{number}")["state"] in OVER and there and all(p["state"] == "published" for p in there)

            for lives in range(1, 80):
                d.start(wait=False, MAYFLY_CRASH_AT_STEP=str(2 + lives))  # a little further each time
                wait_for(lambda: f"life {lives} to end: {d.said()}", lambda: not d.alive() or finished(), 90)
                d.kill()
                if digest_of(repository, "latest") and digest_of(repository, "1.0.0"):
                    break
            d.start()
            wait_for(lambda: f"the end: {d.get(f'/v1/builds/{number}')} {d.said()}", finished, 90)
            check(lives > 5, "it was hardly ever killed", lives)
            b, image = d.get(f"/v1/builds/{number}"), d.get("/v1/images/tool")
            equal((b["state"], b["version"]), ("released", "1.0.0"), b)
            equal([(v["version"], v["digest"]) for v in image["versions"]], [("1.0.0", b["digest"])])
            equal([digest_of(repository, t) for t in ("1.0.0", "latest", "1")], [image["versions"][0]["published_digest"]] * 3)
            equal(len([j for j in d.get("/v1/jobs")["jobs"] if j["spec"]["pool"].startswith("try-")]), 1, "one trial, however often")
            equal(d.cli("audit", "verify").returncode, 0)


def running(marker):
    """Processes on this host that have the marker among their arguments."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if marker.encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
    return found


@case
def a_build_is_stopped_in_its_middle_and_leaves_nothing():
    if os.geteuid() != 0:
        raise Skip("builds have namespaces of their own only where root builds")
    marker = f"987{os.getpid()}"
    with world(Dockerfile=DOCKERFILE + f"RUN sleep {marker}\n") as d:
        begin = lambda: int(d.cli("image", "build", "tool", "--detach").stdout)
        number = begin()
        wait_for(lambda: d.said(), lambda: running(marker), 60)
        equal(d.cli("image", "cancel", str(number)).returncode, 0)
        equal(settled(d, number)["state"], "cancelled")
        wait_for(lambda: running(marker), lambda: not running(marker))
        folder = d.state / f"builds/{number}"
        wait_for(lambda: list(folder.iterdir()), lambda: {p.name for p in folder.iterdir()} <= {"log"})
        # The daemon's end is not the build's: the next one begins it anew.
        number = begin()
        wait_for(lambda: d.said(), lambda: running(marker), 60)
        d.kill()
        wait_for(lambda: running(marker), lambda: not running(marker))
        d.start()
        wait_for(lambda: d.said(), lambda: running(marker), 60)
        d.stop()
        equal(running(marker), [])
        d.start()
        again = d.get(f"/v1/builds/{number}")
        equal(again["state"], "building")
        check("begun again" in again["problem"], again)
        equal([x["kind"] for x in d.get(f"/v1/ledger?subject=build/{number}")["entries"]].count("build.begun-again"), 2)
        equal(d.cli("image", "cancel", str(number)).returncode, 0)
        wait_for(lambda: running(marker), lambda: not running(marker))
        folder = d.state / f"builds/{number}"
        wait_for(lambda: list(folder.iterdir()), lambda: {p.name for p in folder.iterdir()} <= {"log"})
        check(str(folder) not in pathlib.Path("/proc/self/mountinfo").read_text(), "a mount of it is left")


@case
def what_several_commits_of_one_push_declare_is_summed():
    with world(attempts="[]") as d:
        equal(build(d)[0]["version"], "1.0.0")
        for word, message in (("two", "a\n\nRelease: minor"), ("three", "b"), ("four", "c\n\nRelease: patch")):
            d.repository.write(word=word + "\n")
            d.repository.commit(message)
        b, said, _ = build(d)
        equal(b.get("version"), "1.1.0", said, b)
        again, said, _ = build(d, "--again")
        equal(again["state"], "unchanged", said)


@case
def images_that_nobody_needs_are_swept():
    config = CONFIG + "release: {{keep: 1}}\n"
    with world(config=config.format(approvals=0, attempts="[]", more="", pool="tool@1.0.0")) as d:
        for word in ("one", "two", "three"):
            d.repository.write(word=word + "\n")
            d.repository.commit(word)
            equal(build(d)[0]["state"], "released", d.said())
        digests = {b["id"]: b["digest"] for b in d.get("/v1/builds")["builds"]}
        d.stop()
        d.start()  # it sweeps when it begins, and every ten minutes
        swept = lambda: [b["id"] for b in d.get("/v1/builds")["builds"] if b.get("swept_at")]
        wait_for(lambda: d.get("/v1/builds"), swept, 30)
        equal(swept(), [2], "the first is pinned, the third is the last", digests)
        there = lambda n: subprocess.run(["buildah", "inspect", "--type", "image", f"localhost/mayfly/tool:build-{n}"], capture_output=True).returncode == 0
        wait_for(lambda: d.said(), lambda: not there(2), 30)
        equal((there(1), there(3)), (True, True))
        wait_for(lambda: d.said(), lambda: not (d.state / "builds/2/out").exists())
        equal([e["kind"] for e in d.get("/v1/ledger?subject=build/2")["entries"]][-1], "build.swept")
        ran = d.cli("run", "--pool", "p", "--", "cat", "/word")
        equal((ran.returncode, ran.stdout), (0, b"one\n"), ran.stderr)


@case
def the_pool_of_a_trial_is_gone_afterwards():
    with world() as d:
        equal(build(d)[0]["state"], "released")
        wait_for(lambda: d.get("/v1/pools"), lambda: [p["name"] for p in d.get("/v1/pools")["pools"]] == ["p"])


if __name__ == "__main__":
    main()
