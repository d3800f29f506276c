#!/usr/bin/env python3
"""What bad jobs get: each ends in its own named state, with a message for people, and its builder is gone afterwards."""
import signal
import subprocess

from harness import MAYFLY, case, check, daemon, equal, main, terminate


def ends(d, id, state, cause, *words, seconds=60):
    job = d.ended(id, seconds)
    equal((job["state"], job["result"]["cause"]), (state, cause), job, d.output(id)[-500:])
    message = job["result"].get("message", "")
    for word in words:
        check(word in message, f"{word!r} is not in the message {message!r}")
    d.no_builders()
    return job


@case
def an_image_that_does_not_exist():
    with daemon(image="localhost/mayfly/no-such-image:1") as d:
        ends(d, d.submit("true"), "failed", "image_unavailable", "no-such-image")
        done = d.run("--", "true")
        equal(done.returncode, 125)
        check(b"no-such-image" in done.stderr, done.stderr)


@case
def a_command_that_is_not_there():
    with daemon() as d:
        ends(d, d.submit(["/no/such/program"]), "failed", "command_not_found", "/no/such/program")
        equal(d.run("--", "nonsense").returncode, 127)


@case
def a_command_that_cannot_be_executed():
    with daemon() as d:
        ends(d, d.submit(["/etc/passwd"]), "failed", "not_executable")
        equal(d.run("--", "/etc/passwd").returncode, 126)


@case
def a_fork_bomb_ends_at_the_pids_limit():
    with daemon(pids=64) as d:
        id = d.submit("bomb() { bomb | bomb & }; bomb; wait; sleep 1; echo over", timeout_us=20_000_000)
        job = d.ended(id)
        check(job["state"] in ("succeeded", "failed", "timed_out"), job)
        d.no_builders()
        # The daemon and the next job are well.
        equal(d.run("--", "echo", "fine").stdout, b"fine\n")


@case
def a_full_disk_is_told_as_such():
    with daemon(disk="8MiB") as d:
        ends(d, d.submit("head -c 100000000 /dev/zero >big"), "failed", "disk_full")


@case
def too_much_memory_is_told_as_such():
    with daemon(memory="32MiB", disk="8MiB") as d:
        # tail keeps a line without end in memory.
        ends(d, d.submit("tail -n 1 </dev/zero"), "failed", "oom_killed", "memory")


@case
def a_signal_is_told_as_such():
    with daemon() as d:
        job = ends(d, d.submit("kill -SEGV $$"), "failed", "signalled")
        equal(job["result"]["signal"], signal.SIGSEGV)
        equal(d.run("--", "sh", "-c", "kill -KILL $$").returncode, 128 + 9)


@case
def a_job_that_ignores_sigterm_is_ended_all_the_same():
    with daemon() as d:
        id = d.submit("trap '' TERM; echo ready; while :; do sleep 1; done")
        d.running(id, b"ready")
        d.cli("cancel", str(id))
        ends(d, id, "cancelled", "cancelled")


@case
def a_job_that_takes_too_long_is_ended():
    with daemon() as d:
        done = d.run("--timeout", "1s", "--", "sleep", "60")
        equal(done.returncode, 124, done.stderr)
        ends(d, 1, "timed_out", "timed_out")


@case
def a_job_that_closes_its_stdout_runs_on():
    with daemon() as d:
        id = d.submit("exec >&- 2>&-; sleep 0.3; exit 5")
        job = ends(d, id, "failed", "exited")
        equal(job["result"]["exit_code"], 5)


@case
def a_line_of_fifty_megabytes_comes_whole():
    with daemon() as d:
        done = d.run("--", "sh", "-c", "head -c 52428800 /dev/zero | tr '\\0' x")
        equal((len(done.stdout), done.stdout.count(b"x")), (52428800, 52428800))


@case
def binary_comes_unchanged():
    with daemon() as d:
        done = d.run("--", "sh", "-c", "i=0; while [ $i -lt 256 ]; do printf \"\\\\$(printf %03o $i)\"; i=$((i+1)); done")
        equal(done.stdout, bytes(range(256)))


@case
def background_processes_do_not_outlive_the_job():
    with daemon() as d:
        id = d.submit("(setsid sleep 1000 >/dev/null 2>&1 &) ; (trap '' HUP TERM; sleep 1000) & echo done")
        ends(d, id, "succeeded", "exited")


@case
def a_job_outlives_its_client():
    with daemon() as d:
        client = subprocess.Popen([MAYFLY, "run", "--pool", "p", "--", "sh", "-c", "echo here; sleep 1; echo there"], env=d.env,
                                  stdout=subprocess.PIPE)
        equal(client.stdout.readline(), b"here\n")
        terminate(client, signal.SIGKILL)
        client.stdout.close()
        ends(d, 1, "succeeded", "exited")
        equal(d.output(1), b"here\nthere\n")


@case
def ctrl_c_cancels_the_job():
    with daemon() as d:
        client = subprocess.Popen([MAYFLY, "run", "--pool", "p", "--", "sh", "-c", "echo here; sleep 100"], env=d.env, stdout=subprocess.PIPE)
        equal(client.stdout.readline(), b"here\n")
        equal(terminate(client, signal.SIGINT), 130)
        client.stdout.close()
        ends(d, 1, "cancelled", "cancelled")


@case
def a_reader_that_stops_reading_costs_no_memory_and_no_job():
    with daemon() as d:
        memory = lambda: int(next(l for l in open(f"/proc/{d.process.pid}/status") if l.startswith("VmRSS")).split()[1])
        id = d.submit("echo start; sleep 1; yes | head -c 100000000")
        d.running(id, b"start")
        before = memory()
        client = subprocess.Popen([MAYFLY, "logs", "-f", str(id)], env=d.env, stdout=subprocess.PIPE)
        ends(d, id, "succeeded", "exited")
        check(memory() - before < 64 << 10, f"the daemon grew from {before} to {memory()} KiB with a reader that does not read")
        equal(len(client.stdout.read()), 100000006)
        equal(client.wait(30), 0)


@case
def requests_that_make_no_sense_are_refused_in_words():
    with daemon() as d:
        for body, word in [({"pool": "nope", "command": ["true"]}, "nope"), ({"pool": "p"}, "command"),
                           ({"pool": "p", "command": ["true"], "scirpt": "x"}, "scirpt"),
                           ({"pool": "p", "command": ["true"], "priority": "high"}, "priority")]:
            status, answer = d.api("POST", "/v1/jobs", body)
            check(status in (400, 404), body, status, answer)
            check(word in str(answer["error"]), answer)
        equal(d.api("GET", "/v1/jobs/99")[0], 404)
        equal(d.api("GET", "/nothing")[0], 404)
        equal(d.get("/v1/jobs")["jobs"], [])


if __name__ == "__main__":
    main()
