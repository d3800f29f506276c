#!/usr/bin/env python3
"""Measures how a 1 % change of a big image reaches a pool on another host: the bytes that the registry sends, and the seconds from
the release there to the end of the first job on it. Once as whole layers (gzip), and once with partial pulls of zstd:chunked
(containers-storage's `enable_partial_images`), beside `skopeo copy` of the very same image. Two daemons, each with an image
storage of its own, stand for two hosts: one publishes, the pool is the other's.

  bench/rollout.py [--size 100] [--files 400] [--mayfly build/mayfly]       size: MiB of the image, half of which compresses

Prints a table in Markdown. Needs root, buildah, skopeo and docker-registry.
"""
import argparse
import contextlib
import http.client
import http.server
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/e2e"))


PUBLISHES = """\
images: {{tool: {{publish: [{repository}], compression: '{compression}'}}}}
pools: {{p: {{image: {busybox}, network: none}}}}
"""
RUNS = """\
images: {tool: {}}
pools: {p: {image: tool, network: none, builders: {max: 2, memory: 128MiB, disk: 32MiB, pids: 64}, rollout: {min_jobs: 1}}}
"""


class Counter:
    """A way to the registry that counts what it sends."""

    def __init__(self, upstream):
        self.sent = 0
        counter = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                keep = {k: ", ".join(self.headers.get_all(k)) for k in self.headers.keys() if k.lower() != "connection"}
                upward = http.client.HTTPConnection(*upstream.split(":"))
                upward.request(self.command, self.path, body, keep)
                answer = upward.getresponse()
                data = answer.read()
                upward.close()
                counter.sent += len(data)
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                        self.send_header(name, value)
                self.send_header("Content-Length", answer.getheader("Content-Length") if self.command == "HEAD" else len(data))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = handle_any

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def run(*argv, env=None):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, env=env)
    if done.returncode:
        raise RuntimeError(f"{argv}: {done.stderr}")
    return done.stdout.strip()


def write(data, numbers, size):
    for n in numbers:
        (data / f"f{n}").write_bytes(os.urandom(size // 2) + bytes(size // 2))


def make_image(data, word, env):
    """One layer with all of the data, as a recipe that copies it makes one."""
    from harness import BUSYBOX
    name = f"localhost/mayfly-bench-rollout:{word}"
    container = run("buildah", "from", BUSYBOX, env=env)
    run("buildah", "copy", container, data, "/data", env=env)
    run("buildah", "commit", "--disable-compression", container, name, env=env)
    run("buildah", "rm", container, env=env)
    return name


def storage(folder, name, partial):
    config = folder / f"{name}.conf"
    options = '[storage.options]\npull_options = {enable_partial_images = "true", use_hard_links = "false", ostree_repos = ""}\n'
    config.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/{name}"\nrunroot = "{folder}/{name}-run"\n{options if partial else ""}')
    return {**os.environ, "CONTAINERS_STORAGE_CONF": str(config)}


def release(d, reference):
    done = d.cli("image", "release", "tool", "--reference", reference, "--json")
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    return json.loads(done.stdout)


def publish(d, image):
    """The digest that the registry has."""
    version = release(d, image)
    while not any(p["version"] == version["version"] and p["state"] == "published" for p in d.get("/v1/images/tool")["publications"]):
        time.sleep(0.01)
    return version["published_digest"]


def rolled_out(d, reference):
    begin = time.monotonic()
    version = release(d, reference)["version"]
    while True:
        job = d.ended(d.submit("true"))
        if job["state"] != "succeeded":
            raise RuntimeError(job)
        if job["image_version"] == f"tool@{version}":
            return time.monotonic() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--mayfly", default=os.environ.get("MAYFLY"))
    args = parser.parse_args()
    if args.mayfly:
        os.environ["MAYFLY"] = args.mayfly
    from harness import Daemon, Scratch, busybox_image
    from registries import Registry
    rows = []
    with Scratch() as folder, Registry(folder) as registry, contextlib.ExitStack() as stack:
        run("skopeo", "copy", "--quiet", f"containers-storage:{busybox_image()}", f"oci:{folder}/busybox")
        source = storage(folder, "source", False)
        run("skopeo", "copy", "--quiet", f"oci:{folder}/busybox", f"containers-storage:{busybox_image()}", env=source)
        each, data = (args.size << 20) // args.files, folder / "data"
        data.mkdir()
        for title, compression, partial in (("whole layers, gzip", "gzip", False), ("partial pulls, zstd:chunked", "zstd:chunked", True)):
            name = "partial" if partial else "whole"
            counter, peer = Counter(registry.address), storage(folder, name + "-peer", partial)
            write(data, range(args.files), each)
            here = stack.enter_context(Daemon(folder, name="h" + name, env=source, config=PUBLISHES.format(
                repository=f"{registry.address}/{name}/tool", compression=compression, busybox=busybox_image())))
            there = stack.enter_context(Daemon(folder, name="t" + name, env=storage(folder, name, partial), config=RUNS))
            for turn in ("all of it is new", "1 % is changed"):
                digest = publish(here, make_image(data, f"{name}-{turn[0]}", source))
                reference = f"docker://{counter.address}/{name}/tool@{digest}"
                counter.sent = 0
                took, sent, counter.sent = rolled_out(there, reference), counter.sent, 0
                begin = time.monotonic()
                run("skopeo", "copy", "--quiet", "--src-tls-verify=false", reference, "containers-storage:localhost/copied:" + turn[0], env=peer)
                rows.append((title, turn, sent, took, counter.sent, time.monotonic() - begin))
                write(data, range(max(1, args.files // 100)), each)
    print(f"| {args.size} MiB in {args.files} files | Mayfly: MB sent | seconds, to the end of a job on it | skopeo copy: MB sent | seconds |")
    print("| --- | --- | --- | --- | --- |")
    for title, turn, sent, took, peer_sent, alone in rows:
        print(f"| {title}: {turn} | {sent / 1e6:.2f} | {took:.2f} | {peer_sent / 1e6:.2f} | {alone:.2f} |")


if __name__ == "__main__":
    main()
