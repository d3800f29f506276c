#!/usr/bin/env python3
"""What a job can reach and what it cannot, in every kind of network; that the limit on cpu holds; and what a killed
process leaves. The host of most cases is a network namespace with a wire to another: what is outside is really outside."""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from harness import CONFIG, MAYFLY, Daemon, Scratch, Skip, busybox_image, case, check, daemon, equal, main, needs_containers, wait_for
import leftovers

# What listens outside: greets at TCP 7000, answers every question for a name with 192.0.2.2.
OUTSIDE = """
import socket, threading
def greet(address, port):
    s = socket.create_server((address, port))
    while True:
        c, _ = s.accept(); c.sendall(b"reached\\n"); c.close()
def names():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("192.0.2.2", 53))
    while True:
        q, who = s.recvfrom(4096)
        end = q.index(b"\\0", 12) + 5
        is_a = q[end - 4:end - 2] == b"\\0\\1"
        answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4" + bytes([192, 0, 2, 2]) if is_a else b""
        s.sendto(q[:2] + b"\\x81\\x80\\0\\1" + (b"\\0\\1" if is_a else b"\\0\\0") + b"\\0\\0\\0\\0" + q[12:end] + answer, who)
"""


def config(network, **more):
    values = {"image": busybox_image(), "warm": 0, "max": 30, "memory": "128MiB", "disk": "32MiB", "pids": 64} | more
    return CONFIG.format(**values).replace("network: none", f"network: {network}")


def needs_egress():
    needs_containers()
    if not shutil.which("slirp4netns"):
        raise Skip("slirp4netns is not installed")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise Skip("/dev/net/tun cannot be opened, so slirp4netns cannot work")


class World:
    """Two network namespaces with a wire between: `host` (192.0.2.1), where the daemon runs, and `outside` (192.0.2.2)."""

    def __init__(self, folder):
        if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nsenter"):
            raise Skip("only root with ip and nsenter can make network namespaces to stand in for the host's")
        self.folder, self.processes = folder, []
        self.host, self.outside = self.namespace("-m"), self.namespace()
        (folder / "resolv.conf").write_text("nameserver 192.0.2.2\n")
        try:
            self.ip(self.host, "link", "add", "wire0", "type", "veth", "peer", "name", "wire1", "netns", str(self.outside))
            for where, wire, number in ((self.host, "wire0", 1), (self.outside, "wire1", 2)):
                self.ip(where, "addr", "add", f"192.0.2.{number}/24", "dev", wire)
                self.ip(where, "link", "set", wire, "up")
                self.ip(where, "link", "set", "lo", "up")
            subprocess.run([*self.inside(self.host), "mount", "--bind", folder / "resolv.conf", os.path.realpath("/etc/resolv.conf")], check=True, capture_output=True)
        except subprocess.CalledProcessError as e:
            self.end()
            raise Skip(f"no network can be built on this host: {e.stderr}")
        self.serve(self.outside, "threading.Thread(target=names, daemon=True).start(); greet('192.0.2.2', 7000)")
        self.serve(self.host, "greet('127.0.0.1', 7001)")
        self.serve(self.host, "greet('192.0.2.1', 7002)")
        for where, address, port in ((self.outside, "192.0.2.2", 7000), (self.host, "127.0.0.1", 7001), (self.host, "192.0.2.1", 7002)):
            probe = [*self.inside(where), sys.executable, "-c", f"import socket; socket.create_connection(('{address}', {port}), 2)"]
            wait_for(f"the server at {address}:{port}", lambda p=probe: subprocess.run(p, capture_output=True).returncode == 0)

    def namespace(self, *more):
        p = subprocess.Popen(["unshare", "-n", *more, "--propagation", "private", "sleep", "1000"] if more else ["unshare", "-n", "sleep", "1000"])
        self.processes.append(p)
        mine = os.readlink("/proc/self/ns/net")

        def moved():
            with contextlib.suppress(OSError):
                return os.readlink(f"/proc/{p.pid}/ns/net") != mine and os.readlink(f"/proc/{p.pid}/exe").endswith("sleep")
        wait_for("a network namespace", moved)
        return p.pid

    def inside(self, pid):
        return ["nsenter", f"--net=/proc/{pid}/ns/net", f"--mount=/proc/{pid}/ns/mnt"]

    def ip(self, pid, *argv):
        subprocess.run([*self.inside(pid), "ip", *argv], check=True, capture_output=True, text=True)

    def serve(self, pid, what):
        self.processes.append(subprocess.Popen([*self.inside(pid), sys.executable, "-c", OUTSIDE + what]))

    def end(self):
        for p in reversed(self.processes):
            p.kill()
            p.wait()


class DaemonInWorld(Daemon):
    def __init__(self, world, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.world = world

    def start(self, wait=True):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*self.world.inside(self.world.host), MAYFLY, "up", "--config", self.config, "--state", self.state],
                                            stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.env)
        wait_for(lambda: "the daemon's answer; it said: " + self.said(), self.answers)
        return self


@contextlib.contextmanager
def daemon_in_world(network):
    with Scratch() as folder:
        world = World(folder)
        try:
            with DaemonInWorld(world, folder, config(network)) as d:
                yield d
            equal(d.remains(), [])
        finally:
            world.end()


def reaches(d, address, port):
    done = d.run("--", "nc", "-w", "3", address, str(port), input=b"")
    return done.stdout == b"reached\n"


@case
def egress_reaches_what_is_outside_by_address_and_by_name():
    needs_egress()
    with daemon_in_world("egress") as d:
        check(reaches(d, "192.0.2.2", 7000), "a server outside is not reached", d.said())
        equal(d.run("--", "cat", "/etc/resolv.conf").stdout, b"nameserver 10.0.2.3\n")
        done = d.run("--", "nslookup", "some.name.example")
        check(b"192.0.2.2" in done.stdout, done)
        # Documented: what listens on the host's own outer addresses is reached as by any neighbour; the loopback is not.
        check(reaches(d, "192.0.2.1", 7002), "the host's outer address")
        for address in ("127.0.0.1", "10.0.2.2", "10.0.2.3", "192.0.2.1"):
            check(not reaches(d, address, 7001), f"the host's loopback was reached by {address}")


@case
def builders_with_egress_do_not_reach_each_other():
    needs_egress()
    with daemon_in_world("egress") as d:
        servers = [d.submit(f"readlink /proc/self/ns/net; readlink /proc/self/ns/user; ip -4 -o addr show tap0; while true; do echo from-{n} | nc -l -p 7777; done") for n in "ab"]
        for job in servers:
            d.running(job, b"scope")
        namespaces = [set(d.output(job).decode().splitlines()[:2]) for job in servers]
        equal(namespaces[0] & namespaces[1], set(), "two builders share a namespace")
        for address in ("10.0.2.100", "10.0.2.2", "10.0.2.15", "192.0.2.1"):
            done = d.run("--", "sh", "-c", f"nc -w 2 {address} 7777 </dev/null")
            check(b"from-" not in done.stdout, f"another builder was reached at {address}", done)
        for job in servers:
            equal(d.job(job)["state"], "running")
            d.cli("cancel", str(job))
            d.ended(job)


@case
def without_a_network_there_is_only_the_loopback():
    with daemon(config=config("none")) as d:
        done = d.run("--", "sh", "-c", "ls /sys/class/net; ip -4 -o route; cat /etc/resolv.conf; nc -w 2 192.0.2.1 80 </dev/null || echo unreachable")
        equal(done.stdout, b"lo\nunreachable\n", done)


@case
def the_hosts_network_is_the_hosts_and_is_said():
    needs_containers()
    with daemon_in_world("host") as d:
        check(reaches(d, "127.0.0.1", 7001) and reaches(d, "192.0.2.2", 7000), d.said())
        done = d.run("--", "sh", "-c", "cat /etc/resolv.conf; ip link set wire0 down 2>/dev/null; ip -o link show wire0")
        names, link = done.stdout.decode().splitlines()
        equal(names, "nameserver 192.0.2.2", done)
        check("wire0" in link and ",UP" in link, "a job changed the host's interface", done)
        check("host's own network" in d.said(), d.said())
        check(any("host" in json.dumps(e) and "network" in json.dumps(e) for e in d.get("/v1/ledger?limit=1000")["entries"]), "it is not in the ledger")


def slots_files(d, name):
    for group in leftovers.cgroups(d.state):
        for path in Path(group.removeprefix("cgroup: ")).glob(f"s*/{name}"):
            yield path


def throttled(d):
    return sum(int(line.split()[1]) for path in slots_files(d, "cpu.stat") for line in path.read_text().splitlines() if line.startswith("nr_throttled"))


@case
def the_limit_on_cpu_is_enforced():
    needs_containers()
    text = config("none").replace("builders: {", "builders: {cpu: 0.5, ")
    with daemon(config=text) as d:
        job = d.submit("echo begun; while true; do :; done")
        d.running(job, b"begun")
        quotas = [p.read_text().split()[0] for name in ("cpu.cfs_quota_us", "cpu.max") for p in slots_files(d, name)]
        if not quotas:
            raise Skip("this host has no cpu cgroups to look into")
        check("50000" in quotas, quotas)
        before = throttled(d)
        wait_for("the job to be throttled", lambda: throttled(d) > before + 5)
        d.cli("cancel", str(job))
        d.ended(job)


def living(pids):
    return {p for p in pids if leftovers.read(f"/proc/{p}/stat").rpartition(b") ")[2][:1] not in (b"", b"Z")}


def programs(pids, name):
    """Those still there that run it: one may end while it is looked at."""
    return {p for p in pids for exe in leftovers.link(f"/proc/{p}/exe") if Path(exe).name.startswith(name)}


@case
def a_hundred_jobs_with_egress_leave_nothing():
    needs_egress()
    with daemon(config=config("egress")) as d:
        equal(d.run("--", "true").returncode, 0)
        jobs = [d.submit("echo x > /tmp/planted; (sleep 1000 &); ls /sys/class/net | tr '\\n' ' '") for _ in range(100)]
        builders, seen = set(), set()
        for job in jobs:
            ended = d.ended(job)
            equal((ended["state"], d.output(job)), ("succeeded", b"lo tap0 "), ended)
            builders.add(ended["builder"])
            seen |= leftovers.descendants(d.process.pid)
        equal(len(builders), 100)
        d.no_builders()
        # A small stock of prepared networks stays: as many as launches may run at once.
        wait_for(lambda: f"only the stock: {leftovers.descendants(d.process.pid)}", lambda: len(programs(leftovers.descendants(d.process.pid), "slirp4netns")) <= 4)
        # Each has slirp4netns, a slot and an agent; and the launcher.
        wait_for(lambda: f"only the stock: {leftovers.descendants(d.process.pid)}", lambda: len(leftovers.descendants(d.process.pid)) <= 1 + 3 * 4)
        seen |= leftovers.descendants(d.process.pid)
        platform = d.state / "platforms/local"
        equal([p for name in ("b", "trash") for p in (platform / name).iterdir()], [])
        names = lambda place: {p.name for p in (platform / place).iterdir()}
        wait_for(lambda: f"only the stock: {names('r')}, {names('s')}", lambda: names("r") == names("s"))
        for place in ("/run", "/tmp", "/var/run", "/dev/shm"):
            equal(leftovers.files(place, builders), [], place)
        named = [line for line in leftovers.read("/proc/self/mountinfo").decode().splitlines() if str(d.state) in line or any(b in line for b in builders)]
        equal(named, [])
    wait_for(lambda: f"the end of {living(seen)}", lambda: not living(seen))


@case
def networks_that_die_in_stock_are_not_given_to_a_job():
    needs_egress()
    with daemon(config=config("egress")) as d:
        equal(d.run("--", "true").returncode, 0)
        d.no_builders()
        for name in ("slirp4netns", "launcher", "agent"):
            stock = lambda: {p for p in programs(leftovers.descendants(d.process.pid), name) if p not in leftovers.children(d.process.pid)}
            wait_for(lambda: f"the stock: {stock()}", lambda: len(stock()) == 4)
            dead = stock()
            for pid in dead:
                os.kill(pid, signal.SIGKILL)
            wait_for("their end", lambda: not living(dead))
            equal(d.run("--", "ls", "/sys/class/net").stdout, b"lo\ntap0\n", d.said())
            d.no_builders()


@case
def a_killed_launchers_networks_end_and_running_jobs_keep_theirs():
    needs_egress()
    with daemon_in_world("egress") as d:
        job = d.submit("echo begun; while ! nc -w 1 192.0.2.2 7009 </dev/null 2>&-; do sleep 0.1; done; nc -w 3 192.0.2.2 7000 </dev/null")
        d.running(job, b"begun")
        all_of_it = leftovers.descendants(d.process.pid)
        launcher = next(p for p in all_of_it if leftovers.read(f"/proc/{p}/stat").split(b") ")[1].split()[1] == str(d.process.pid).encode()
                        and b"launcher" in leftovers.read(f"/proc/{p}/cmdline"))
        networks = programs(all_of_it, "slirp4netns")
        equal(len(networks), 5, "four in stock and the job's")
        os.kill(launcher, signal.SIGKILL)
        wait_for(lambda: f"the stock to end: {living(networks)}", lambda: len(living(networks)) == 1)
        wait_for("the launcher's other processes to end", lambda: not programs(living(all_of_it), "launcher"))
        equal(d.job(job)["state"], "running")
        d.world.serve(d.world.outside, "greet('192.0.2.2', 7009)")
        equal((d.ended(job)["state"], d.output(job)), ("succeeded", b"begun\nreached\nreached\n"), d.said())
        check(reaches(d, "192.0.2.2", 7000), "the next launcher's networks do not work", d.said())
        d.no_builders()
        wait_for(lambda: f"its network to end: {living(networks)}", lambda: not living(networks))


@case
def a_standalone_run_that_is_killed_leaves_nothing():
    needs_containers()
    kinds = ["none"] + (["egress"] if shutil.which("slirp4netns") and os.access("/dev/net/tun", os.R_OK | os.W_OK) else [])
    for network in kinds:
        with subprocess.Popen([MAYFLY, "run", "--image", busybox_image(), "--network", network, "--", "sh", "-c", "echo begun; exec sleep 1000"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
            equal(p.stdout.readline(), b"begun\n", p.poll())
            processes = leftovers.descendants(p.pid)
            state = next(os.readlink(e.path).rpartition("/")[0] for e in os.scandir(f"/proc/{p.pid}/fd") if os.readlink(e.path).endswith("/mayfly.db"))
            check(state.startswith("/tmp/mayfly-") and len(processes) > 1, state, processes)
            p.kill()
        wait_for(lambda: f"{network}: {living(processes)}", lambda: not living(processes))
        wait_for(lambda: f"{network}: {list(Path(state).rglob('*'))}", lambda: not os.path.exists(state))
        equal(leftovers.everything(state), [], network)


if __name__ == "__main__":
    main()
