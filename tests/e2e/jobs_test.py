#!/usr/bin/env python3
"""What a person does with Mayfly, through the command line, against a real daemon with real containers."""
import json
import os
import subprocess
import tempfile
from pathlib import Path

from harness import MAYFLY, Scratch, busybox_image, case, check, daemon, equal, main, needs_containers, wait_for
import leftovers


@case
def a_job_passes_its_output_and_exit_code_through():
    with daemon() as d:
        done = d.run("--", "sh", "-c", "echo out; echo err >&2; exit 7")
        equal((done.returncode, done.stdout, done.stderr), (7, b"out\n", b"err\n"))
        equal(d.run("--", "true").returncode, 0)


@case
def the_hostname_is_the_builders_id_and_each_job_has_its_own():
    with daemon() as d:
        names = {d.run("--", "hostname").stdout.decode().strip() for _ in range(4)}
        equal(len(names), 4, names)
        jobs = json.loads(d.cli("jobs", "--json").stdout)["jobs"]
        equal({j["builder"] for j in jobs}, names)


@case
def a_directory_goes_in_and_another_comes_back():
    with daemon() as d, tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in"), Path(folder, "out")
        (source / "deep/er").mkdir(parents=True)
        (source / "deep/er/a").write_bytes(bytes(range(256)) * 1000)
        (source / "run.sh").write_text("#!/bin/sh\nmkdir -p made; cat deep/er/a >made/copy; ls -l run.sh | cut -c1-10 >made/mode\n")
        (source / "run.sh").chmod(0o755)
        (source / "link").symlink_to("deep/er/a")
        done = d.run("--upload", source, "--download", f"{target}:made", "--", "./run.sh")
        equal(done.returncode, 0, done.stderr)
        equal((target / "copy").read_bytes(), bytes(range(256)) * 1000)
        equal((target / "mode").read_text(), "-rwxr-xr-x\n")


@case
def the_environment_is_the_jobs_own():
    with daemon(env={"MAYFLY_TEST_LEAK": "never"}) as d:
        done = d.run("--env", "GREETING=hello world", "--", "env")
        lines = done.stdout.decode().splitlines()
        check("GREETING=hello world" in lines, lines)
        check(not any("LEAK" in line for line in lines), lines)


@case
def a_script_runs_by_its_first_line_or_by_sh():
    with daemon() as d:
        equal(d.run("--script", "-", input=b"false\necho not reached\n").returncode, 1)
        done = d.run("--script", "-", input=b"#!/bin/awk -f\nBEGIN { print 6 * 7 }\n")
        equal(done.stdout, b"42\n", done.stderr)


@case
def a_secret_reaches_the_job_and_no_log():
    secret = "s3cr3t-" + os.urandom(8).hex()
    with daemon(config=SECRET_POOL.format(image=busybox_image()), env={"THE_TOKEN": secret}) as d:
        done = d.run("--secret", "token", "--", "sh", "-c", 'echo "length ${#TOKEN}"; echo "it is $TOKEN"; printf %s "$TOKEN" | sha256sum')
        equal(done.returncode, 0, done.stderr)
        check(f"length {len(secret)}".encode() in done.stdout, done.stdout)
        check(secret.encode() not in done.stdout + done.stderr, "masked in the output", done.stdout)
        equal(leftovers.files_with(secret, d.state), [])
        refused = d.run("--secret", "other", "--", "true")
        equal(refused.returncode, 125)
        check(b"other" in refused.stderr, refused.stderr)


@case
def a_warm_builder_takes_the_job_and_is_replaced():
    with daemon(warm=1) as d:
        ready = lambda: [b for b in d.get("/v1/builders")["builders"] if b["state"] == "ready"]
        first = wait_for("a builder is ready", ready)[0]["id"]
        equal(d.run("--", "hostname").stdout.decode().strip(), first)
        second = wait_for("another builder is ready", ready)[0]["id"]
        check(second != first)


@case
def logs_can_be_followed_from_any_offset():
    with daemon() as d:
        id = d.submit("i=0; while [ $i -lt 50000 ]; do echo line $i; i=$((i+1)); done; echo warned >&2")
        follow = d.cli("logs", "-f", str(id))
        expected = b"".join(b"line %d\n" % i for i in range(50000))
        equal(follow.stdout, expected)
        equal(follow.stderr, b"warned\n")
        equal(d.output(id), expected + b"warned\n")
        equal(d.cli("logs", "--offset", "1000", str(id)).stdout, expected[1000:])
        equal(d.job(id)["log_bytes"], len(expected) + 7)


@case
def a_hundred_megabytes_lose_no_byte():
    with daemon() as d:
        # A sum of what was written, and of what arrives.
        done = d.run("--", "sh", "-c", "yes 0123456789abcdefghijklmnopqrstuvwxyz-0123456789abcdefghijklmnopqrstuvwxyz | head -c 104857600")
        equal(len(done.stdout), 104857600)
        line = b"0123456789abcdefghijklmnopqrstuvwxyz-0123456789abcdefghijklmnopqrstuvwxyz\n"
        check(done.stdout == (line * (104857600 // len(line) + 1))[:104857600], "bytes differ")


@case
def a_job_can_be_cancelled_while_it_runs_and_while_it_waits():
    with daemon(max=1) as d:
        running, waiting = d.submit("echo here; sleep 100"), d.submit("true")
        d.running(running, b"here")
        equal(d.job(waiting)["state"], "queued")
        explained = d.cli("explain", str(waiting)).stdout.decode()
        check("max" in explained, explained)
        equal(d.cli("cancel", str(waiting)).returncode, 0)
        equal(d.ended(waiting)["state"], "cancelled")
        equal(d.cli("cancel", str(running)).returncode, 0)
        equal(d.ended(running)["state"], "cancelled")
        d.no_builders()


@case
def the_ledger_tells_the_story_and_verifies():
    with daemon() as d:
        equal(d.run("--", "true").returncode, 0)
        d.no_builders()
        story = d.cli("audit", "show", "--subject", "job/1").stdout.decode()
        check("job/1" in story, story)
        equal(d.cli("audit", "verify").returncode, 0)
        explained = d.cli("explain", "1").stdout.decode()
        check("succeeded" in explained, explained)


@case
def a_repeated_request_makes_no_second_job():
    with daemon() as d:
        first = d.submit(["true"], idempotency_key="k1")
        status, again = d.api("POST", "/v1/jobs", {"pool": "p", "command": ["true"], "idempotency_key": "k1"})
        equal(again["id"], first)
        equal(len(d.get("/v1/jobs")["jobs"]), 1)


@case
def without_a_daemon_run_image_works_by_itself():
    needs_containers()
    with Scratch() as folder:
        env = {**os.environ, "HOME": str(folder), "XDG_STATE_HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
        done = subprocess.run([MAYFLY, "run", "--image", busybox_image(), "--network", "none", "--", "sh", "-c", "echo alone; exit 9"], env=env,
                              capture_output=True, timeout=60)
        equal((done.returncode, done.stdout), (9, b"alone\n"), done.stderr)
        equal(leftovers.everything(folder), [])


@case
def a_job_is_shut_in():
    with daemon() as d:
        script = """
            id -u
            grep -c . /proc/net/dev
            grep CapEff /proc/self/status
            grep NoNewPrivs /proc/self/status
            grep Seccomp: /proc/self/status
            touch /bin/x 2>/dev/null && echo wrote-to-a-layer-copy
            mount -t tmpfs none /mnt 2>/dev/null && echo mounted
            cat /proc/kcore 2>/dev/null | head -c 1
            ps | wc -l
        """
        out = d.run("--", "sh", "-c", script).stdout.decode()
        check("Seccomp:\t2" in out and "NoNewPrivs:\t1" in out, out)
        check("mounted" not in out, out)
        check("CapEff:\t000001ffffffffff" not in out, out)


SECRET_POOL = """\
pools:
  p: {{image: "{image}", network: none, secrets: [token], builders: {{memory: 128MiB, disk: 32MiB}}}}
secrets:
  token: {{env: THE_TOKEN}}
"""


@case
def what_tests_look_for_as_leftovers_is_there_while_a_job_runs():
    with daemon() as d:
        id = d.submit("echo on; sleep 100")
        d.running(id, b"on")
        checks = json.loads(d.cli("doctor", "--json").stdout)["checks"]
        limits = any(c["name"] == "cgroups" and c["status"] == "ok" for c in checks)
        found = leftovers.everything(d.state)
        check(any("/.mayfly/agent" in f for f in found), found)
        check(not limits or any(f.startswith("cgroup") for f in found), found)
        d.cli("cancel", str(id))
        d.ended(id)


if __name__ == "__main__":
    main()
