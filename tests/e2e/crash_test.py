#!/usr/bin/env python3
"""Kills the daemon with SIGKILL at every step boundary that a job passes, starts it again, and holds that no job is lost,
none runs twice, no line of its log is missing, and nothing of its builders remains."""
import http.client

from harness import CASES, Daemon, check, equal, main, needs_containers, Scratch, wait_for
import leftovers

LINES = 20
SCRIPT = f"i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); done; exit 7"
boundaries = {}


def alive(d):
    """Starts the daemon again if the crash that was asked for has come."""
    if d.process.poll() is not None:
        equal(d.process.returncode, -9, "how the daemon ended", d.said())
        d.start(wait=False)


def patiently(d, what, ask):
    def once():
        alive(d)
        try:
            return ask()
        except (OSError, http.client.HTTPException):
            return None
    return wait_for(lambda: f"{what}; the daemon said: {d.said()}", once, 60)


def life(warm, crash_at=None):
    """One daemon's life with one job; with `crash_at` it dies at that boundary and another goes on."""
    needs_containers()
    with Scratch() as folder:
        steps = folder / "steps"
        d = Daemon(folder, warm=warm, max=3)
        d.start(wait=False, MAYFLY_STEP_LOG=str(steps), **({"MAYFLY_CRASH_AT_STEP": str(crash_at)} if crash_at else {}))
        try:
            # The client's key makes its second try harmless: whether the first was recorded is what a crash leaves unknown.
            def submitted():
                status, job = d.api("POST", "/v1/jobs", {"pool": "p", "command": ["sh", "-c", SCRIPT], "idempotency_key": "once"})
                return job["id"] if status == 201 else None

            def ended():
                status, job = d.api("GET", f"/v1/jobs/{id}/wait?timeout_ms=2000")
                return job if status == 200 else None

            id = patiently(d, "the job's acceptance", submitted)
            job = patiently(d, "the job's end", ended)
            patiently(d, "the builder's end", lambda: all(b.get("job") != id for b in d.builders()))
            if not crash_at:
                boundaries[warm] = steps.read_text().splitlines()
            patiently(d, "an answer", d.answers)
            equal((job["state"], job["result"]["exit_code"]), ("failed", 7), job)
            equal(d.output(id).decode().splitlines(), [f"line {i}" for i in range(LINES)], "its log")
            equal(len(d.get("/v1/jobs")["jobs"]), 1, "jobs were made")
            d.get("/v1/ledger/verification")
            code = d.stop()
            if code == -9 and crash_at:  # boundaries come in no fixed number: this one lay on the way down
                code = d.start().stop()
            equal(code, 0, "the daemon's exit code", d.said())
            left = leftovers.everything(d.state)
            check(not left, *left)
        finally:
            if d.process.poll() is None:
                d.kill()


def add(name, function):
    CASES.append((name, function))


def each_step(warm):
    """One case a boundary, known once the life without a crash has shown them."""
    def first():
        life(warm)
        for k, step in enumerate(boundaries[warm], 1):
            add(f"warm {warm}: killed at step {k}, {step}", lambda k=k: life(warm, k))
    add(f"warm {warm}: a life without a crash", first)


if __name__ == "__main__":
    each_step(0)
    each_step(1)
    main()
