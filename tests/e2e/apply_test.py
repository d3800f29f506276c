#!/usr/bin/env python3
"""The configuration changes under a daemon that runs jobs."""
import json
import os
import pty
import select
import signal
import subprocess
import time

from harness import MAYFLY, busybox_image, case, check, daemon, equal, main, wait_for

POOL = """\
  {name}:
    image: {image}
    network: none
    builders: {{warm: {warm}, max: {max}, memory: {memory}, disk: 32MiB, pids: 256, timeout: 2m, grace: 1s}}
"""


def config(**pools):
    text = "pools:\n"
    for name, changed in pools.items():
        text += POOL.format(**({"name": name, "image": busybox_image(), "warm": 0, "max": 2, "memory": "128MiB"} | changed))
    return text


def apply(d, *argv, code=0):
    done = d.cli("apply", "--yes", *argv)
    equal(done.returncode, code, done.stdout, done.stderr)
    return (done.stdout + done.stderr).decode()


def waiting(d, id):
    return d.job(id).get("waiting", {}).get("code")


@case
def a_pool_grows_and_shrinks_while_its_jobs_run():
    with daemon(config=config(p={"max": 1})) as d:
        go = "echo up; while [ ! -e /tmp/never ]; do sleep 0.05; done"
        first, second = d.submit(go), d.submit(go)
        d.running(first, b"up")
        wait_for("the second waits", lambda: waiting(d, second) == "pool_at_max")
        d.config.write_text(config(p={"max": 2}))
        plan = d.cli("plan", "--exit-code")
        equal(plan.returncode, 2, plan.stderr)
        check("~ pool p" in plan.stdout.decode() and "1 → 2" in plan.stdout.decode(), plan.stdout)
        equal(d.job(second)["state"], "queued", "a plan changes nothing")
        check("Applied" in apply(d), "")
        d.running(second, b"up")
        equal(d.cli("plan", "--exit-code").returncode, 0)
        d.config.write_text(config(p={"max": 1, "memory": "64MiB"}))
        apply(d)
        equal([d.job(i)["state"] for i in (first, second)], ["running", "running"])
        d.cli("cancel", str(first), str(second))
        for i in (first, second):
            d.ended(i)
        equal(d.ended(d.submit("true"))["state"], "succeeded")
        d.no_builders()
        entries = d.get("/v1/ledger?subject=daemon&limit=1000")["entries"]
        applied = [json.loads(e["detail"]) for e in entries if e["kind"] == "config.applied"]
        equal([a["changes"] for a in applied][0], ["pool p builders.max: 1 → 2"])
        equal(len(applied), 2)


@case
def idle_builders_that_no_longer_fit_are_replaced():
    with daemon(config=config(p={"warm": 2})) as d:
        ready = lambda: sorted(b["id"] for b in d.builders() if b["state"] == "ready")
        wait_for("two builders", lambda: len(ready()) == 2)
        old = ready()
        d.config.write_text(config(p={"warm": 2, "memory": "96MiB"}))
        check("2 idle builders replaced" in apply(d), "")
        wait_for("two others", lambda: len(ready()) == 2 and not set(ready()) & set(old))
        d.config.write_text(config(p={}))
        apply(d)
        d.no_builders()


@case
def a_pool_is_added_and_removed_and_no_job_is_stranded_unasked():
    with daemon(config=config(p={"max": 1})) as d:
        d.config.write_text(config(p={"max": 1}, q={"max": 1}))
        check("+ pool q" in apply(d), "")
        run = d.submit("echo up; sleep 60", pool="q")
        queued = d.submit("echo late", pool="q")
        d.running(run, b"up")
        wait_for("the other waits", lambda: waiting(d, queued) == "pool_at_max")
        d.config.write_text(config(p={"max": 1}))
        refused = apply(d, code=1)
        check("- pool q" in refused and f"job {queued} would be stranded" in refused, refused)
        equal((d.job(run)["state"], d.job(queued)["state"]), ("running", "queued"))
        apply(d, "--strand-jobs")
        wait_for("it says so", lambda: waiting(d, queued) == "pool_removed")
        d.cli("cancel", str(run))
        equal(d.ended(run)["state"], "cancelled", "a job of a removed pool can still be cancelled")
        equal(d.job(queued)["state"], "queued")
        d.config.write_text(config(p={"max": 1}, q={"max": 1}))
        apply(d)
        equal(d.ended(queued)["state"], "succeeded")
        d.no_builders()


@case
def a_wrong_configuration_changes_nothing_and_says_where():
    with daemon(config=config(p={})) as d:
        good = d.config.read_text()
        d.config.write_text(good.replace("max: 2", "maxx: 2"))
        up = subprocess.run([MAYFLY, "up", "--config", d.config, "--state", d.folder / "other"], capture_output=True, env=d.env)
        for command in (["plan"], ["apply", "--yes"], ["plan", str(d.config)]):
            done = d.cli(*command)
            equal(done.returncode, 1, done.stdout)
            said = done.stderr.decode()
            check(f"{d.config}:5:" in said and "did you mean 'max'" in said.lower() and "^" in said, said)
            equal(said, up.stderr.decode(), "the same words as `mayfly up`")
        d.process.send_signal(signal.SIGHUP)
        wait_for("the daemon's complaint", lambda: "the configuration stays as it is" in d.said())
        equal(d.ended(d.submit("true"))["state"], "succeeded")
        d.config.write_text(good)
        d.no_builders()


@case
def SIGHUP_applies_the_daemons_own_file():
    with daemon(config=config(p={"warm": 0})) as d:
        d.config.write_text(config(p={"warm": 1}))
        d.process.send_signal(signal.SIGHUP)
        wait_for("a warm builder", lambda: any(b["state"] == "ready" for b in d.builders()))
        d.process.send_signal(signal.SIGHUP)
        wait_for("nothing to do", lambda: "was read again: nothing changes" in d.said())
        equal(len([e for e in d.get("/v1/ledger?limit=1000")["entries"] if e["kind"] == "config.applied"]), 1)


@case
def another_file_holds_until_the_restart():
    with daemon(config=config(p={"max": 2})) as d:
        other = d.folder / "other.yaml"
        other.write_text(config(p={"max": 7}))
        check("its next start will read that one" in apply(d, str(other)), "")
        equal(d.get("/v1/pools")["pools"][0]["max"], 7)
        equal(d.stop(), 0)
        d.start()
        equal(d.get("/v1/pools")["pools"][0]["max"], 2)


@case
def the_plan_that_was_shown_is_the_plan_that_is_applied():
    with daemon(config=config(p={"max": 2})) as d:
        d.config.write_text(config(p={"max": 3}))
        status, plan = d.api("POST", "/v1/plan", {})
        equal((status, plan["summary"], plan["applies"]), (200, "1 pool changed", True))
        d.config.write_text(config(p={"max": 4}))
        status, answer = d.api("POST", "/v1/apply", {"plan": plan["plan"]})
        equal((status, answer["error"]["code"]), (409, "conflict"), answer)
        equal(d.get("/v1/pools")["pools"][0]["max"], 2)
        status, answer = d.api("POST", "/v1/apply", {"plan": d.api("POST", "/v1/plan", {})[1]["plan"]})
        equal(status, 200, answer)
        equal(d.get("/v1/pools")["pools"][0]["max"], 4)


def answer(d, word):
    """`mayfly apply` on a terminal; gives its exit code and all that it said."""
    master, slave = pty.openpty()
    process = subprocess.Popen([MAYFLY, "apply"], env=d.env, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    said, end = b"", time.monotonic() + 30
    while time.monotonic() < end:
        if select.select([master], [], [], 0.1)[0]:
            try:
                said += os.read(master, 4096)
            except OSError:
                break
            if b"Only 'yes' does:" in said and word:
                os.write(master, word + b"\n")
                word = b""
    os.close(master)
    return process.wait(30), said


@case
def a_person_is_asked():
    with daemon(config=config(p={"max": 2})) as d:
        d.config.write_text(config(p={"max": 3}))
        code, said = answer(d, b"y")
        equal((code, d.get("/v1/pools")["pools"][0]["max"]), (1, 2), said)
        code, said = answer(d, b"yes")
        equal((code, d.get("/v1/pools")["pools"][0]["max"]), (0, 3), said)
        d.config.write_text(config(p={"max": 4}))
        done = d.cli("apply", stdin=subprocess.DEVNULL)
        equal(done.returncode, 1)
        check(b"--yes" in done.stderr, done.stderr)


@case
def what_only_a_restart_changes_is_named():
    with daemon(config=config(p={"max": 2})) as d:
        server = "server: {listen: '127.0.0.1:18443', tls: {certificate: c.pem, key: k.pem}, tokens: t}\n"
        d.config.write_text(config(p={"max": 3}) + server)
        said = apply(d)
        check("next start" in said and "server.listen" in said, said)
        equal(d.get("/v1/pools")["pools"][0]["max"], 3)
        plan = d.api("POST", "/v1/plan", {})[1]
        equal((plan["applies"], [c["at_restart"] for c in plan["changes"]]), (False, [True]))
        check("nothing to apply" in apply(d, code=1), "")
        d.config.write_text(config(p={"max": 3}))


@case
def draining_lets_running_jobs_finish_and_keeps_queued_ones():
    with daemon(config=config(p={"max": 1, "warm": 0})) as d:
        run = d.submit("echo up; while [ ! -e done ]; do sleep 0.05; i=$((i+1)); [ $i -gt 60 ] && touch done; done; echo out")
        queued = d.submit("echo later")
        d.running(run, b"up")
        done = d.cli("drain")
        equal(done.returncode, 0, done.stderr)
        check(b"has ended" in done.stdout, done.stdout)
        equal(d.process.wait(30), 0)
        equal(d.output_on_disk(run), b"up\nout\n")
        d.start()
        equal(d.job(run)["state"], "succeeded")
        equal(d.ended(queued)["state"], "succeeded")
        d.no_builders()


if __name__ == "__main__":
    main()
