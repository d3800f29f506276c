#!/usr/bin/env python3
"""The loop: the image-builder image builds images in builders like any other, itself included, and the result builds the
next one. Its packages come from Debian's mirrors: skipped where those cannot be reached."""
import shutil
import subprocess
import time

from harness import ROOT, Daemon, Scratch, Skip, busybox_image, case, check, equal, main, needs_containers
from recipes import Repository, build, stored

CONFIG = """\
images:
  image-builder:
    repository: repo
    recipe: images/image-builder
    args: {{BASE: {base}}}
    try: [smoke]
    builder: {pool}
  tool:
    repository: repo
    recipe: images/tool
    builder: {pool}
    try: ["test -e /y"]
pools:
  bootstrap:
    image: {bootstrap}
    network: egress
    builders: {{max: 2, memory: 3GiB, disk: 1GiB, pids: 512}}
  looped:
    image: {looped}
    network: egress
    builders: {{max: 2, memory: 3GiB, disk: 1GiB, pids: 512}}
"""
TOOL = "FROM localhost/mayfly/test-busybox:1\nCOPY word /word\nRUN echo x > /x && rm -f /bin/ls && mkdir /full && echo > /full/old\n" \
       "RUN cat /x > /y && rm -rf /full && mkdir /full && echo > /full/new\n"


def base_image():
    done = subprocess.run([ROOT / "tools/make-base-image"], capture_output=True, text=True)
    if done.returncode:
        raise Skip(f"no base image can be made: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout.strip()


def bootstrap_image(base):
    """What `buildah build` on this host makes of the shipped recipe."""
    name = "localhost/mayfly/e2e-image-builder:1"
    done = subprocess.run(["buildah", "build", "--quiet", "--isolation", "chroot", "--layers", "--build-arg", f"BASE={base}", "--tag", name,
                           ROOT / "images/image-builder"], capture_output=True, text=True)
    if done.returncode:
        raise Skip(f"the image-builder cannot be built here: {done.stderr.strip()[-300:]}")
    return name


@case
def image_builder_builds_image_builder_and_that_builds_the_next():
    needs_containers()
    busybox_image()
    base = base_image()
    bootstrap = bootstrap_image(base)
    with Scratch() as folder:
        repository = Repository(folder)
        place = repository.folder / "images/image-builder"
        shutil.copytree(ROOT / "images/image-builder", place)
        repository.write(Dockerfile=TOOL + f"LABEL test={repository.unique}\n", word="one\n")
        repository.commit("recipes")
        before = stored()
        config = lambda pool, looped: CONFIG.format(base=base, bootstrap=bootstrap, pool=pool, looped=looped)
        try:
            with Daemon(folder, config=config("bootstrap", bootstrap)) as d:
                # The first is built by the bootstrap image, in a builder.
                first, said, code = build(d, image="image-builder")
                equal((first["state"], code), ("released", 0), said[-3000:], d.said())
                equal(d.job(first["build_job"])["spec"]["pool"], "bootstrap")
                tool, said, _ = build(d)
                equal(tool["state"], "released", said[-3000:])
                # An unchanged recipe in a fresh builder: every step is found in the layers of released images.
                begun = time.monotonic()
                again, said, _ = build(d, "--again")
                took = time.monotonic() - begun
                equal(again["state"], "unchanged", said[-3000:])
                check("every step was cached" in said and again["digest"] == tool["digest"], said[-3000:])
                job = d.job(again["build_job"])
                print(f"# unchanged rebuild in a fresh builder: {(job['ended_at'] - job['queued_at']) / 1e6:.2f} s, with all around it {took:.2f} s")
                # What is removed in a released layer stays removed in what is built on it.
                repository.write(Dockerfile=TOOL + f"LABEL test={repository.unique}\nRUN test ! -e /bin/ls && test $(ls /full) = new && echo z > /z\n")
                repository.commit("one more step")
                more, said, _ = build(d)
                equal(more["state"], "released", said[-3000:])
                equal(said.count("Using cache"), 4, said[-3000:])
            # The image that a builder built now builds the next one.
            d.config.write_text(config("looped", first["reference"]))
            with d:
                second, said, _ = build(d, "--again", image="image-builder")
                check(second["state"] in ("released", "unchanged"), second, said[-3000:])
                equal(second["builder_digest"], first["digest"], "built in a builder of the first")
                repository.write(word="two\n")
                repository.commit("another word")
                tool, said, _ = build(d)
                equal((tool["state"], tool["builder_digest"]), ("released", first["digest"]), said[-3000:])
            # A proposed change leaves nothing in the layers that others build on.
            with d:
                store = d.state / "images/layers/store/overlay-layers/layers.json"
                layers = store.read_bytes()
                repository.git("checkout", "--quiet", "-b", "proposed")
                repository.write(word="poison\n")
                repository.commit("proposed", who="eve")
                proposed, said, _ = build(d, "--ref", "proposed")
                equal(proposed["state"], "passed", said[-3000:])
                equal(store.read_bytes(), layers)
            equal(d.remains(), [])
        finally:
            if new := stored() - before:
                subprocess.run(["buildah", "rmi", "--force", *new], capture_output=True)


if __name__ == "__main__":
    main()
