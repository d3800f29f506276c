#!/usr/bin/env python3
"""Measures publishing one image to three registries on this host's loopback: Mayfly's whole way (export, three registries, read
back, SBOM, provenance and signature attached, channels moved) beside plain `skopeo copy` and `buildah push`, which send the image
and no more. Each round has an image that no registry has seen; the contestants take turns within one run.

  bench/publish.py [--rounds 5] [--size 100] [--mayfly build/mayfly]       size: MiB that are new in each round

Prints a table in Markdown. Needs root, buildah, skopeo and docker-registry.
"""
import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/e2e"))


def run(*argv):
    return subprocess.run([str(a) for a in argv], check=True, capture_output=True, text=True).stdout.strip()


def make_image(folder, size):
    """A base layer that every image shares, and one of `size` MiB, half of which compresses."""
    from harness import busybox_image
    name = f"localhost/mayfly-bench-publish:{os.urandom(4).hex()}"
    payload = folder / "payload"
    with open(payload, "wb") as f:
        for _ in range(size):
            f.write(os.urandom(1 << 19) + bytes(1 << 19))
    container = run("buildah", "from", busybox_image())
    try:
        run("buildah", "copy", container, payload, "/payload")
        run("buildah", "commit", "--disable-compression", container, name)
    finally:
        run("buildah", "rm", container)
    return name


def one_after_another(commands):
    begin = time.monotonic()
    for c in commands:
        run(*c)
    return time.monotonic() - begin


def all_at_once(commands):
    begin = time.monotonic()
    running = [subprocess.Popen([str(a) for a in c], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for c in commands]
    for p in running:
        said = p.communicate()[1]
        if p.returncode:
            raise RuntimeError(said.decode())
    return time.monotonic() - begin


def mayfly(daemon, image, count):
    begin = time.monotonic()
    done = daemon.cli("image", "release", "tool", "--reference", image, "--json")
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    version = json.loads(done.stdout)["version"]
    packed = time.monotonic() - begin
    while True:
        places = [p for p in daemon.get("/v1/images/tool")["publications"] if p["version"] == version]
        if sum(p["state"] == "published" for p in places) == count:
            return packed, time.monotonic() - begin
        if any(p.get("problem") for p in places):
            raise RuntimeError(places)
        time.sleep(0.01)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--mayfly", default=os.environ.get("MAYFLY"))
    args = parser.parse_args()
    if args.mayfly:
        os.environ["MAYFLY"] = args.mayfly
    from harness import Daemon, Scratch, busybox_image
    from registries import Registry
    times = {}
    with Scratch() as folder, contextlib.ExitStack() as stack:
        registries = [stack.enter_context(Registry(folder, f"r{i}")) for i in range(3)]
        (folder / "recipe").mkdir()
        (folder / "recipe/Dockerfile").write_text("FROM scratch\n")
        key = folder / "key.pem"
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        key.chmod(0o600)
        daemons = {}
        for compression, name in (("gzip", "dg"), ("zstd:chunked", "dz")):
            publish = ", ".join(f"{r.address}/{name}/tool" for r in registries)
            config = (f"images:\n  tool: {{recipe: {folder}/recipe, publish: [{publish}], compression: {compression}}}\n"
                      f"release: {{key: {key}}}\npools:\n  p: {{image: {busybox_image()}, network: none}}\n")
            daemons[compression] = stack.enter_context(Daemon(folder, config=config, name=name))
        contestants = {
            "skopeo copy, one after another": lambda i, tag: one_after_another(copies(i, tag)),
            "skopeo copy, all at once": lambda i, tag: all_at_once(copies(i, tag)),
            "buildah push, one after another": lambda i, tag: one_after_another(
                ["buildah", "push", "--quiet", "--tls-verify=false", i, f"docker://{r.address}/buildah/{tag}:1"] for r in registries),
        }
        copies = lambda i, tag: [["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"containers-storage:{i}",
                                  f"docker://{r.address}/skopeo/{tag}:1"] for r in registries]
        for n in range(args.rounds + 1):  # the first warms caches up and does not count
            for name in [*contestants, *daemons]:
                image = make_image(folder, args.size)
                try:
                    if name in daemons:
                        values = dict(zip((f"mayfly, {name}: until the version is there", f"mayfly, {name}: until it is in all three"),
                                          mayfly(daemons[name], image, 3)))
                    else:
                        values = {name: contestants[name](image, f"t{n}-{os.urandom(3).hex()}")}
                finally:
                    subprocess.run(["buildah", "rmi", "-f", image], capture_output=True)
                for k, v in values.items():
                    if n:
                        times.setdefault(k, []).append(v)
    print(f"| three registries, {args.size} MiB new ({args.rounds} rounds, median) | seconds |\n| --- | --- |")
    for k, v in times.items():
        print(f"| {k} | {statistics.median(v):.2f} ({min(v):.2f}–{max(v):.2f}) |")


if __name__ == "__main__":
    main()
