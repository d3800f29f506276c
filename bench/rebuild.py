#!/usr/bin/env python3
"""Measures the rebuild of an unchanged recipe in a builder that was never used before, beside plain buildah: with its cache in the
same storage (as on a host that people share), and in a storage that knows only the base image (as in a fresh container).

  bench/rebuild.py [--rounds 3] [--mayfly build/mayfly]

Prints a table in Markdown. Needs root, buildah, git and an image of images/image-builder (made when it is not there: needs
tools/make-base-image and Debian's mirrors).
"""
import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/e2e"))
BUILDER = "localhost/mayfly/e2e-image-builder:1"
CONFIG = """\
images:
  tool: {{repository: repo, recipe: images/tool, builder: p}}
pools:
  p: {{image: {builder}, network: none, builders: {{max: 2, memory: 3GiB, disk: 1GiB, pids: 512}}}}
"""
RECIPE = """\
FROM {busybox}
COPY word /word
{steps}
LABEL bench={unique}
"""
STEP = "RUN dd if=/dev/zero bs=1M count=128 2>/dev/null | sha256sum > /sum{n} && dd if=/dev/urandom of=/data{n} bs=1M count=8 2>/dev/null"


def run(*argv, env=None):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, env=env)
    if done.returncode:
        raise RuntimeError(f"{argv}: {done.stderr[-2000:]}")
    return done.stdout.strip()


def timed(*argv, env=None):
    begin = time.monotonic()
    run(*argv, env=env)
    return time.monotonic() - begin


def image_builder():
    if subprocess.run(["buildah", "inspect", "--type", "image", BUILDER], capture_output=True).returncode:
        base = run(ROOT / "tools/make-base-image")
        run("buildah", "build", "--quiet", "--isolation", "chroot", "--layers", "--build-arg", f"BASE={base}", "--tag", BUILDER, ROOT / "images/image-builder")
    return BUILDER


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mayfly", default=os.environ.get("MAYFLY"))
    args = parser.parse_args()
    if args.mayfly:
        os.environ["MAYFLY"] = args.mayfly
    from harness import Daemon, Scratch, busybox_image
    from recipes import Repository, build, stored
    times = {}
    before = stored()
    try:
        with Scratch() as folder:
            repository = Repository(folder)
            recipe = repository.folder / "images/tool"
            steps = "\n".join(STEP.format(n=n) for n in range(5))
            repository.write(Dockerfile=RECIPE.format(busybox=busybox_image(), steps=steps, unique=folder.name), word="one\n")
            repository.commit("a recipe")
            plain = ["buildah", "build", "--quiet", "--isolation", "chroot", "--layers", "--timestamp", "0"]
            run("skopeo", "copy", "--quiet", f"containers-storage:{busybox_image()}", f"oci:{folder}/busybox")

            def storage(name):
                config = folder / f"{name}.conf"
                config.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/{name}"\nrunroot = "{folder}/{name}-run"\n')
                env = {**os.environ, "CONTAINERS_STORAGE_CONF": str(config)}
                run("skopeo", "copy", "--quiet", f"oci:{folder}/busybox", f"containers-storage:{busybox_image()}", env=env)
                return env

            shared = storage("shared")
            run(*plain, recipe, env=shared)
            with Daemon(folder, config=CONFIG.format(builder=image_builder())) as d:
                first, said, _ = build(d)
                if first["state"] != "released":
                    raise RuntimeError(said + d.said())
                for n in range(args.rounds):
                    begin = time.monotonic()
                    again, said, _ = build(d, "--again")
                    whole = time.monotonic() - begin
                    if again["state"] != "unchanged" or "every step was cached" not in said:
                        raise RuntimeError(said)
                    job = d.job(again["build_job"])
                    for what, seconds in (
                            ("Mayfly, in a new builder: the builder's job, from queued to its end", (job["ended_at"] - job["queued_at"]) / 1e6),
                            ("Mayfly, `mayfly image build --again`: with git before, and reading the image back in after", whole),
                            ("buildah build, all steps in its own storage's cache", timed(*plain, recipe, env=shared)),
                            ("buildah build, in a storage that has only the base image", timed(*plain, recipe, env=storage(f"fresh{n}")))):
                        times.setdefault(what, []).append(seconds)
    finally:
        if new := stored() - before:
            subprocess.run(["buildah", "rmi", "--force", *new], capture_output=True)
    print(f"| an unchanged recipe of 6 steps, 40 MiB ({args.rounds} rounds, median) | seconds |\n| --- | --- |")
    for what, seconds in times.items():
        print(f"| {what} | {statistics.median(seconds):.2f} ({min(seconds):.2f}–{max(seconds):.2f}) |")


if __name__ == "__main__":
    main()
