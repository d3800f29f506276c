#!/usr/bin/env python3
"""Measures Mayfly beside podman, crun, runc (and docker where a daemon answers): the same image, the same command, on this
host, interleaved round by round in one run, so that whatever disturbs the host disturbs all alike.

  bench/run.py [--rounds 20] [--bursts 3] [--out docs/PERFORMANCE.md] [--mayfly build/mayfly]

Writes medians and ratios between the two markers of the file, with a description of the host. Needs root.
"""
import argparse
import ctypes
import http.client
import json
import os
import platform
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/e2e"))
import harness  # noqa: E402

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
WORD = b"hello-from-the-inside\n"
ECHO = ["/bin/echo", WORD.decode().strip()]
BURST = 100
UNIFIED = "/sys/fs/cgroup/unified"


# --- the peers: whole commands, run in a process of its own -------------------------------------------------------------

def timed(argv):
    """Seconds from the start to the first byte of output, and to the end."""
    begin = time.monotonic()
    p = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, close_fds=False)
    out = os.read(p.stdout.fileno(), 65536)
    first = time.monotonic() - begin
    rest, err = p.communicate()
    if p.returncode != 0 or out + rest != WORD:
        raise RuntimeError(f"{' '.join(argv)}: exit {p.returncode}: {(out + rest + err).decode(errors='replace')[-500:]}")
    return first, time.monotonic() - begin


def burst(commands):
    """Seconds until all of them, started at once, have ended."""
    begin = time.monotonic()
    with tempfile.TemporaryFile() as err:
        running = [subprocess.Popen(c, stdout=subprocess.DEVNULL, stderr=err, stdin=subprocess.DEVNULL, close_fds=False) for c in commands]
        bad = sum(p.wait() != 0 for p in running)
        took = time.monotonic() - begin
        if bad:
            err.seek(0)
            raise RuntimeError(f"{bad} of {len(commands)} failed: {err.read().decode(errors='replace')[-500:]}")
    return took


def peer_process():
    """Serves `timed` and `burst` over its standard streams. On hybrid cgroups it lives in a mount namespace without
    /sys/fs/cgroup/unified, without which crun refuses to start anything; so crun pays nothing for that."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.path.ismount(UNIFIED):
        if libc.unshare(0x00020000) or libc.mount(b"none", b"/", None, 0x44000, None) or libc.umount2(UNIFIED.encode(), 2):
            sys.exit(f"no private mount namespace: {os.strerror(ctypes.get_errno())}")
    for line in sys.stdin:
        what, argument = json.loads(line)
        try:
            answer = {"timed": timed, "burst": burst}[what](argument)
        except (RuntimeError, OSError) as e:
            answer = {"error": str(e)}
        print(json.dumps(answer), flush=True)


class Peers:
    def __init__(self):
        self.process = subprocess.Popen([sys.executable, __file__, "--peer-process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, what, argument):
        self.process.stdin.write(json.dumps([what, argument]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the process for the peers ended"}
        if isinstance(answer, dict):
            raise RuntimeError(answer["error"])
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def bundle(tool, rootfs, folder):
    """A bundle of the runtime's own default specification: no seccomp filter, no user namespace, an empty network."""
    folder.mkdir(parents=True)
    subprocess.run([tool, "spec"], cwd=folder, check=True)
    spec = json.loads((folder / "config.json").read_text())
    spec["process"] |= {"terminal": False, "args": ECHO, "cwd": "/"}
    spec["process"].pop("rlimits", None)  # this host may forbid raising them
    spec["root"] = {"path": str(rootfs), "readonly": True}
    (folder / "config.json").write_text(json.dumps(spec))
    return folder


class Runtime:
    def __init__(self, tool, rootfs, work):
        self.tool, self.number = tool, 0
        self.bundles = [bundle(tool, rootfs, work / f"{tool}{i}") for i in range(BURST)]

    def command(self, i=0):
        self.number += 1
        return [self.tool, "run", "--bundle", str(self.bundles[i]), f"mayfly-bench-{os.getpid()}-{self.number}"]


class Podman:
    def command(self, _=0):
        # The limits it would otherwise raise, which a host without CAP_SYS_RESOURCE forbids.
        return ["podman", "run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096", harness.BUSYBOX, *ECHO]


class Docker:
    def command(self, _=0):
        return ["docker", "run", "--rm", "--network", "none", "mayfly-test-busybox:1", *ECHO]


class MayflyRun:
    def __init__(self, daemon, pool):
        self.argv = [harness.MAYFLY, "run", "--state", str(daemon.state), "--pool", pool, "--", *ECHO]

    def command(self, _=0):
        return self.argv


def peers_here(work):
    found = {"podman": Podman()} if shutil.which("podman") else {}
    rootfs = work / "rootfs"
    container = subprocess.check_output(["buildah", "from", harness.BUSYBOX], text=True).strip()
    try:
        mounted = subprocess.check_output(["buildah", "mount", container], text=True).strip()
        shutil.copytree(mounted, rootfs, symlinks=True)
    finally:
        subprocess.run(["buildah", "rm", container], capture_output=True)
    found |= {tool: Runtime(tool, rootfs, work) for tool in ("crun", "runc") if shutil.which(tool)}
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
        subprocess.run(["skopeo", "copy", f"containers-storage:{harness.BUSYBOX}", "docker-daemon:mayfly-test-busybox:1"], check=True, capture_output=True)
        found["docker"] = Docker()
    return found


# --- Mayfly: through its API ---------------------------------------------------------------------------------------------

CONFIG = """\
pools:
  cold: {{image: "{image}", network: none, builders: {{warm: 0, max: {burst}, memory: 128MiB, disk: 32MiB}}}}
  warm: {{image: "{image}", network: none, builders: {{warm: 4, max: 10, memory: 128MiB, disk: 32MiB}}}}
"""


def raw_request(method, path, body=b""):
    return (f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body


class Line:
    """An open connection; plain sockets, for http.client takes half a millisecond of what is to be measured."""

    def __init__(self, daemon):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(str(daemon.state / "mayfly.sock"))

    def ask(self, request):
        self.socket.sendall(request)
        r = http.client.HTTPResponse(self.socket)
        r.begin()
        body = r.read()
        r.close()
        if r.status >= 300:
            raise RuntimeError(f"{r.status}: {body.decode(errors='replace')}")
        return json.loads(body)

    def until(self, request, word):
        self.socket.sendall(request)
        got = b""
        while word not in got:
            piece = self.socket.recv(65536)
            if not piece:
                raise RuntimeError(f"the log ended without the output: {got!r}")
            got += piece


def settled(daemon):
    """Nothing starts, stops or runs, and the warm builders are there."""
    def quiet():
        pools = daemon.get("/v1/status")["pools"]
        moving = sum(p[k] for p in pools for k in ("queued", "starting", "busy", "stopping"))
        return moving == 0 and all(p["ready"] == p["warm"] for p in pools)
    harness.wait_for(lambda: f"quiet: {daemon.get('/v1/status')}; {daemon.said()}", quiet, 60)


def first_output(daemon, pool):
    """Seconds from the request to the first byte at the client, and from `queued` to it by the daemon's and agent's clocks."""
    settled(daemon)
    a, b = Line(daemon), Line(daemon)
    request = raw_request("POST", "/v1/jobs", json.dumps({"pool": pool, "command": ECHO}).encode())
    begin = time.monotonic()
    job = a.ask(request)["id"]
    b.until(raw_request("GET", f"/v1/jobs/{job}/log?follow=true&format=framed"), WORD)
    seen = time.monotonic() - begin
    record = daemon.ended(job)
    index = (daemon.state / "jobs" / str(job) / "log.index").read_bytes()
    at = struct.unpack_from("<q", index, 8)[0]  # model/log_index.h: end, at, stream
    a.socket.close(), b.socket.close()
    return seen, (at - record["queued_at"]) / 1e6


def burst_of_jobs(daemon):
    """Seconds from the first request to the end of the last of a hundred jobs."""
    settled(daemon)
    line = Line(daemon)
    request = raw_request("POST", "/v1/jobs", json.dumps({"pool": "cold", "command": ECHO}).encode())
    begin = time.time()
    jobs = [line.ask(request)["id"] for _ in range(BURST)]
    ended = [daemon.ended(j, 120) for j in jobs]
    bad = [j for j in ended if j["state"] != "succeeded"]
    if bad:
        raise RuntimeError(f"{len(bad)} of {BURST} jobs: {bad[0]}")
    return max(j["ended_at"] for j in ended) / 1e6 - begin


# --- the run and its report ----------------------------------------------------------------------------------------------

def version(*argv):
    try:
        return subprocess.run(argv, capture_output=True, text=True).stdout.splitlines()[0].strip()
    except (OSError, IndexError):
        return "not here"


def host():
    cpu = next((l.partition(":")[2].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine())
    memory = int(open("/proc/meminfo").readline().split()[1]) >> 20
    cgroups = "hybrid" if os.path.ismount(UNIFIED) else "v2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "v1"
    return [f"Linux {platform.release()}, {os.cpu_count()} × {cpu}, {memory} GiB", f"cgroups: {cgroups}",
            f"{version(harness.MAYFLY, 'version')}; {version('podman', '--version')}; {version('crun', '--version')}; {version('runc', '--version')}",
            time.strftime("measured on %Y-%m-%d by `make bench`", time.gmtime())]


def measure(args, daemon, peers, contestants):
    """{row: {contestant: [seconds]}}"""
    rows = {"api": {"cold": [], "warm": []}, "inside": {"cold": [], "warm": []}, "first": {}, "total": {}, "burst": {}}
    for round in range(args.rounds + 1):  # the first warms caches up and does not count
        order = list(contestants)
        order = order[round % len(order):] + order[:round % len(order)]
        for pool in ("cold", "warm"):
            seen, inside = first_output(daemon, pool)
            if round:
                rows["api"][pool].append(seen)
                rows["inside"][pool].append(inside)
        for name in order:
            settled(daemon)
            first, total = peers.ask("timed", contestants[name].command())
            if round:
                rows["first"].setdefault(name, []).append(first)
                rows["total"].setdefault(name, []).append(total)
        print(f"\rround {round} of {args.rounds}", end="", file=sys.stderr, flush=True)
    for round in range(args.bursts):
        rows["burst"].setdefault("mayfly", []).append(burst_of_jobs(daemon))
        for name, c in contestants.items():
            if name.startswith("mayfly"):
                continue
            settled(daemon)
            rows["burst"].setdefault(name, []).append(peers.ask("burst", [c.command(i) for i in range(BURST)]))
        print(f"\rburst {round + 1} of {args.bursts}   ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return rows


def ms(values):
    return f"{statistics.median(values) * 1000:.1f} ms"


def spread(values):
    ordered = sorted(values)
    return f"{ordered[len(ordered) // 10] * 1000:.1f}–{ordered[-1 - len(ordered) // 10] * 1000:.1f} ms"


def report(args, rows):
    m = lambda row, name: statistics.median(rows[row][name])
    lines = [BEGIN, "", *[f"- {h}" for h in host()], f"- {args.rounds} rounds, {args.bursts} bursts of {BURST}; medians; in brackets from the 10th to the 90th percentile", ""]
    lines += ["### Queued → first output", "", "| | new builder (cold) | warm builder |", "| --- | --- | --- |"]
    for row, title in (("inside", "from `queued` to the first byte in the log, by the daemon's and the agent's clocks"), ("api", "from sending the request to the byte's arrival at the client")):
        lines.append(f"| {title} | {ms(rows[row]['cold'])} ({spread(rows[row]['cold'])}) | {ms(rows[row]['warm'])} ({spread(rows[row]['warm'])}) |")
    lines += ["", "### One command, `echo` in a new container", "", "Mayfly's pools give each job a seccomp filter, a user namespace and a writable, size-capped "
              "overlay; the bundles of crun and runc are their own defaults, with none of these.", "",
              "| command | first output | whole command | first output beside Mayfly's, cold | warm |", "| --- | --- | --- | --- | --- |"]
    for name in rows["total"]:
        ratios = [f"{m('first', name) / m('api', pool):.1f} ×" if not name.startswith("mayfly") else "" for pool in ("cold", "warm")]
        lines.append(f"| {name} | {ms(rows['first'][name])} ({spread(rows['first'][name])}) | {ms(rows['total'][name])} | {ratios[0]} | {ratios[1]} |")
    lines += ["", f"### {BURST} at once, until the last has ended", "", "| | seconds | beside Mayfly's |", "| --- | --- | --- |"]
    for name, values in rows["burst"].items():
        lines.append(f"| {name} | {statistics.median(values):.2f} | {m('burst', name) / m('burst', 'mayfly'):.1f} × |")
    return "\n".join([*lines, "", END])


def write(path, section):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text() if path.exists() else "# Performance\n\nHow long Mayfly takes, beside its peers, measured by `make bench` on one host.\n\n" + BEGIN + END + "\n"
    head, _, rest = text.partition(BEGIN)
    if END not in rest:
        sys.exit(f"{path} has not both markers, {BEGIN} and {END}")
    path.write_text(head + section + rest.partition(END)[2])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--bursts", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/PERFORMANCE.md")
    parser.add_argument("--mayfly")
    parser.add_argument("--peer-process", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer_process:
        return peer_process()
    if args.mayfly:
        harness.MAYFLY = args.mayfly
    if why := harness.containers_allowed():
        sys.exit(f"bench: this host cannot run builders: {why}")
    with harness.Scratch() as work:
        daemon = harness.Daemon(work, CONFIG.format(image=harness.busybox_image(), burst=BURST))
        peers = Peers()
        try:
            daemon.start()
            contestants = {"mayfly run (cold)": MayflyRun(daemon, "cold"), "mayfly run (warm)": MayflyRun(daemon, "warm")} | peers_here(work)
            for name in list(contestants):
                try:
                    peers.ask("timed", contestants[name].command())
                except RuntimeError as e:
                    if name.startswith("mayfly"):
                        raise
                    print(f"bench: {name} does not run on this host and is left out: {e}", file=sys.stderr)
                    del contestants[name]
            section = report(args, measure(args, daemon, peers, contestants))
        finally:
            peers.close()
            if daemon.alive():
                daemon.stop()
            daemon.kill()
    write(args.out, section)
    print(section.replace(BEGIN, "").replace(END, "").strip() + f"\n\nwritten to {args.out}")


if __name__ == "__main__":
    main()
