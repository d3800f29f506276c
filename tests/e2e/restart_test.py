#!/usr/bin/env python3
"""The daemon dies; the jobs do not."""
import signal
import subprocess

from harness import MAYFLY, Daemon, Scratch, case, check, daemon, equal, main, needs_containers, wait_for
import leftovers


@case
def a_running_job_is_adopted_after_kill_9_with_its_log_whole():
    with daemon() as d:
        id = d.submit("i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); sleep 0.01; done; exit 4")
        d.running(id, b"line 20\n")
        builder = d.job(id)["builder"]
        d.kill()
        d.start()
        job = d.ended(id)
        equal((job["state"], job["result"]["exit_code"], job["builder"], job["attempt"]), ("failed", 4, builder, 1), job)
        equal(d.output(id), b"".join(b"line %d\n" % i for i in range(200)))
        d.no_builders()
        equal(d.cli("audit", "verify").returncode, 0)


@case
def a_job_that_ended_while_no_daemon_was_there_is_recorded():
    with daemon() as d:
        id = d.submit("echo go; sleep 0.5; echo went; exit 6")
        d.running(id, b"go")
        d.kill()
        log = d.state / "jobs" / str(id) / "log"
        wait_for("the job goes on without a daemon", lambda: b"went" in log.read_bytes())
        result = d.state / "jobs" / str(id) / "result"
        wait_for("its agent writes the result", lambda: result.exists() and result.stat().st_size > 0)
        d.start()
        job = d.ended(id)
        equal((job["state"], job["result"]["exit_code"]), ("failed", 6), job)
        d.no_builders()


@case
def a_queued_job_survives_kill_9():
    with daemon(max=1) as d:
        first, second = d.submit("echo on; sleep 2"), d.submit("echo second")
        d.running(first, b"on")
        d.kill()
        d.start()
        equal(d.ended(first)["state"], "succeeded")
        equal(d.ended(second)["state"], "succeeded")
        equal(d.output(second), b"second\n")


@case
def builders_that_nobody_owns_are_removed():
    with daemon(warm=3) as d:
        wait_for("three are warm", lambda: sum(b["state"] == "ready" for b in d.get("/v1/builders")["builders"]) == 3)
        d.kill()
        for name in ("mayfly.db", "mayfly.db-wal", "mayfly.db-shm"):  # a daemon that remembers nothing
            (d.state / name).unlink(missing_ok=True)
        d.config.write_text(d.config.read_text().replace("warm: 3", "warm: 0"))
        d.start()
        # The daemon's own are there too: its launcher, and the containers that wait for an image.
        def orphans():
            own = {d.process.pid} | leftovers.descendants(d.process.pid)
            return [p for p in leftovers.processes(d.state) if int(p.split()[1].rstrip(":")) not in own]
        wait_for(lambda: f"the end of the orphans: {orphans()}", lambda: not orphans() and not leftovers.mounts(d.state))


@case
def a_second_daemon_on_the_same_state_is_refused():
    with daemon() as d:
        second = subprocess.run([MAYFLY, "up", "--config", d.config, "--state", d.state], capture_output=True, timeout=30)
        check(second.returncode not in (0, -signal.SIGKILL), second.returncode)
        check(str(d.state).encode() in second.stderr, second.stderr)
        equal(d.run("--", "echo", "still here").stdout, b"still here\n")


@case
def a_stopped_daemon_leaves_its_queue_for_the_next():
    with daemon(max=1) as d:
        first, second = d.submit("echo on; sleep 1"), d.submit("echo second")
        d.running(first, b"on")
        equal(d.stop(), 0)
        d.start()
        equal(d.ended(first)["state"], "succeeded")
        equal(d.ended(second)["state"], "succeeded")


@case
def a_daemon_stopped_while_builders_start_leaves_none():
    needs_containers()
    for launched in range(8):  # stopped a little later each time, so that it hits every stage of a start
        with Scratch() as folder:
            d = Daemon(folder, warm=3)
            with d:
                starting = lambda: len(d.get("/v1/builders?gone=true")["builders"]) > 0
                wait_for("a builder to start", starting)
                for _ in range(launched):
                    d.get("/v1/status")
            equal(d.remains(), [], f"stopped {launched} requests after the first start")


@case
def a_client_follows_its_job_through_a_restart():
    with daemon() as d:
        client = subprocess.Popen([MAYFLY, "run", "--pool", "p", "--", "sh", "-c", "i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); sleep 0.01; done"],
                                  env=d.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        equal(client.stdout.readline(), b"0\n")
        d.kill()
        d.start()
        out, err = client.communicate(timeout=60)
        equal(out, b"".join(b"%d\n" % i for i in range(1, 300)), err)
        equal(client.returncode, 0, err)


if __name__ == "__main__":
    main()
