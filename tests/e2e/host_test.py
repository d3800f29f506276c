#!/usr/bin/env python3
"""Mayfly and its host: over TCP, on a full disk, as an ordinary user, from `mayfly init` on."""
import hashlib
import http.client
import json
import os
import pwd
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

from harness import CONFIG, MAYFLY, Daemon, Scratch, Skip, busybox_image, case, check, daemon, equal, main, needs_containers, wait_for
import leftovers


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@case
def over_tcp_only_with_tls_and_a_token():
    needs_containers()
    if not shutil.which("openssl"):
        raise Skip("the openssl command is not here to make a certificate")
    with Scratch() as folder:
        key, certificate, token, port = folder / "key.pem", folder / "cert.pem", "t-" + os.urandom(16).hex(), free_port()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj",
                        "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
        (folder / "tokens").write_text(f"ann {hashlib.sha256(token.encode()).hexdigest()}\n")
        (folder / "tokens").chmod(0o600)
        values = {"image": busybox_image(), "warm": 0, "max": 2, "memory": "128MiB", "disk": "32MiB", "pids": 64}
        d = Daemon(folder, CONFIG.format(**values) + f"server: {{listen: \"127.0.0.1:{port}\", tls: {{certificate: cert.pem, key: key.pem}}, tokens: tokens}}\n")
        with d:
            def status(bearer):
                c = http.client.HTTPSConnection("localhost", port, context=ssl.create_default_context(cafile=certificate), timeout=20)
                c.request("GET", "/v1/jobs", headers={"Authorization": f"Bearer {bearer}"} if bearer else {})
                return c.getresponse().status

            equal([status(None), status("wrong"), status(token)], [401, 401, 200])
            env = {"MAYFLY_SERVER": f"https://localhost:{port}", "MAYFLY_CA": str(certificate), "MAYFLY_TOKEN": token, "PATH": os.environ["PATH"]}
            done = subprocess.run([MAYFLY, "run", "--pool", "p", "--", "echo", "from afar"], env=env, capture_output=True, timeout=60)
            equal((done.returncode, done.stdout), (0, b"from afar\n"), done.stderr)
            job = d.get("/v1/jobs")["jobs"][0]
            check("ann" in job["spec"].get("submitter", ""), job)


@case
def a_full_disk_stops_new_jobs_and_recovers():
    needs_containers()
    if os.geteuid() != 0:
        raise Skip("only root can mount a small disk to fill")
    with Scratch() as folder:
        disk = folder / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600m", "small", disk], capture_output=True).returncode:
            raise Skip("this host does not let root mount a tmpfs")
        try:
            with Daemon(disk, max=2) as d:
                equal(d.run("--", "true").returncode, 0)
                filler = disk / "filler"
                free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
                with open(filler, "wb") as f:
                    os.posix_fallocate(f.fileno(), 0, free - (1 << 20))
                status, job = d.api("POST", "/v1/jobs", {"pool": "p", "command": ["true"]})
                if status == 201:
                    wait_for(lambda: f"the reason: {d.job(job['id'])}", lambda: d.job(job["id"]).get("waiting", {}).get("code") == "disk_full")
                    check("full" in d.job(job["id"])["waiting"]["text"], d.job(job["id"]))
                else:
                    equal(status, 507, job)
                filler.unlink()
                if status == 201:
                    equal(d.ended(job["id"])["state"], "succeeded")
                equal(d.run("--", "true").returncode, 0)
            equal(d.remains(), [])
        finally:
            subprocess.run(["umount", "-l", disk])


def ordinary_user():
    """A user with subordinate ids, other than root: (name, uid, gid, home)."""
    for line in Path("/etc/subuid").read_text().splitlines() if Path("/etc/subuid").exists() else []:
        try:
            user = pwd.getpwnam(line.split(":")[0])
        except KeyError:
            continue
        if user.pw_uid:
            return user
    raise Skip("no ordinary user of this host has a range in /etc/subuid")


@case
def an_ordinary_user_can_run_a_job():
    user = pwd.getpwuid(os.geteuid()) if os.geteuid() else ordinary_user()
    with Scratch() as folder:
        rootfs, program = folder / "image", folder / "mayfly"
        rootfs.mkdir()
        # As an OCI folder, for this user's own storage has no images; and where this user can read it.
        shutil.copy(MAYFLY, program)
        subprocess.run(["skopeo", "copy", "--quiet", f"containers-storage:{busybox_image()}", f"oci:{rootfs}:busybox"], check=True, capture_output=True)
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{user.pw_uid}:{user.pw_gid}", folder], check=True)
        env = {"HOME": str(folder), "XDG_DATA_HOME": f"{folder}/data", "XDG_RUNTIME_DIR": f"{folder}/run", "PATH": os.environ["PATH"], "USER": user.pw_name}
        as_user = {} if os.geteuid() else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        (folder / "run").mkdir(mode=0o700)
        shutil.chown(folder / "run", user.pw_uid, user.pw_gid)
        fit = subprocess.run([program, "doctor", "--json"], env=env, cwd=folder, capture_output=True, timeout=60, **as_user)
        if fit.returncode == 1:
            missing = [c for c in json.loads(fit.stdout)["checks"] if c["status"] == "missing"]
            raise Skip("; ".join(f"{c['name']}: {c.get('advice') or c['found']}" for c in missing))
        done = subprocess.run([program, "run", "--image", f"oci:{rootfs}:busybox", "--network", "none", "--", "sh", "-c", "id -u; exit 3"], env=env, cwd=folder,
                              capture_output=True, timeout=120, **as_user)
        equal(done.returncode, 3, done.stderr.decode(errors="replace")[-2000:])
        equal(leftovers.processes(folder), [])
        # Files of subordinate users can only be removed by root.
        subprocess.run(["rm", "-rf", "--one-file-system", str(folder / "data")])


@case
def what_init_writes_is_a_configuration():
    with Scratch() as folder:
        equal(subprocess.run([MAYFLY, "init", folder], capture_output=True).returncode, 0)
        done = subprocess.run([MAYFLY, "config", "check", folder / "mayfly.yaml"], capture_output=True, text=True)
        equal(done.returncode, 0, done.stderr)
        text = (folder / "mayfly.yaml").read_text().replace("warm:", "warn:")
        (folder / "mayfly.yaml").write_text(text)
        done = subprocess.run([MAYFLY, "config", "check", folder / "mayfly.yaml"], capture_output=True, text=True)
        check(done.returncode != 0 and "mayfly.yaml:" in done.stderr and "did you mean 'warm'" in done.stderr, done.stderr)


@case
def egress_reaches_neither_the_hosts_loopback_nor_other_builders():
    values = {"image": busybox_image(), "warm": 0, "max": 4, "memory": "128MiB", "disk": "32MiB", "pids": 64}
    with daemon(config=CONFIG.format(**values).replace("network: none", "network: egress")) as d, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        addresses = {"127.0.0.1", "10.0.2.2"} | {line.split()[3].split("/")[0] for line in subprocess.check_output(["ip", "-4", "-o", "addr"], text=True).splitlines()
                                                 if " lo " in f" {line.split()[1]} "}
        for address in sorted(addresses):
            done = d.run("--", "nc", "-w", "2", address, str(port), input=b"")
            check(done.returncode != 0, f"a job reached the host's loopback at {address}:{port}", done.stdout, done.stderr)
        server = d.submit("ip -4 -o addr; nc -l -p 7777")
        d.running(server, b"scope")
        own = [w.split("/")[0] for w in d.output(server).decode().split() if "/" in w and w[0].isdigit() and not w.startswith("127.")]
        for address in own:
            check(d.run("--", "nc", "-w", "2", address, "7777", input=b"").returncode != 0, f"a job reached another builder at {address}")
        equal(d.job(server)["state"], "running", "it was not connected to", d.output(server))
        d.cli("cancel", str(server))
        d.ended(server)


if __name__ == "__main__":
    main()
