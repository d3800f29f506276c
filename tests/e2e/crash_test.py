#!/usr/bin/env python3
"""Kills the daemon with SIGKILL at every step boundary that a job passes, starts it again, and holds that no job is lost,
none runs twice, no line of its log is missing, and nothing of its builders remains."""
import os
import sys
from pathlib import Path

sys.path.insert(0, os.path.dirname(__file__))
from harness import Cases, Daemon, Scratch, busybox_image, containers_allowed, wait_for  # noqa: E402

CONFIG = """
pools:
  p:
    image: {image}
    network: none
    builders: {{warm: {warm}, max: 3, memory: 256MiB, disk: 64MiB, timeout: 60s, grace: 1s}}
"""
LINES = 20
SCRIPT = f"i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); done; exit 7"


def life(folder, image, warm, name, crash_at=None):
    """One daemon's life with one job; with `crash_at` it dies at that boundary and another goes on. Gives the boundaries."""
    steps = Path(folder, name + ".steps")
    d = Daemon(folder, CONFIG.format(image=image, warm=warm), name)
    env = {"MAYFLY_STEP_LOG": str(steps)}
    if crash_at:
        env["MAYFLY_CRASH_AT_STEP"] = str(crash_at)
    d.start(wait=False, **env)
    try:
        # The client's key makes its second try harmless: whether the first was recorded is what a crash leaves unknown.
        def submitted():
            if d.process.poll() is not None:
                if d.process.returncode != -9:
                    raise AssertionError(f"the daemon exited with {d.process.returncode}: {d.log.read_text()[-1500:]}")
                d.start(wait=False)
            try:
                status, job = d.api("POST", "/v1/jobs", {"pool": "p", "command": ["sh", "-c", SCRIPT], "idempotency_key": "once"}, timeout=20)
                return job["id"] if status == 201 else None
            except (OSError, __import__("http.client").client.HTTPException):
                return None

        def ended():
            if d.process.poll() is not None:
                if d.process.returncode != -9:
                    raise AssertionError(f"the daemon exited with {d.process.returncode}: {d.log.read_text()[-1500:]}")
                d.start(wait=False)
            try:
                status, j = d.api("GET", f"/v1/jobs/{job}/wait?timeout_ms=2000", timeout=20)
                return j if status == 200 else None
            except (OSError, __import__("http.client").client.HTTPException):
                return None

        job = wait_for("a job's acceptance", submitted, 60)
        result = wait_for("the job's end", ended, 60)
        if not crash_at:
            # The way down has boundaries too: stop() is not part of this count, since a job must not depend on it.
            wait_for("the builder's end", lambda: all(b.get("job") != job for b in d.builders()))
        elif d.process.poll() is not None:
            d.start()
        assert result["state"] == "failed" and result["result"]["exit_code"] == 7, result
        log = d.output(job).decode()
        assert log.splitlines() == [f"line {i}" for i in range(LINES)], f"its log is {log!r}"
        jobs = d.api("GET", "/v1/jobs")[1]["jobs"]
        assert len(jobs) == 1, f"one job was wanted, {len(jobs)} were made"
        status, check = d.api("GET", "/v1/ledger/verification")
        assert status == 200, check
        assert d.stop() == 0, d.log.read_text()[-2000:]
        assert not d.remains(), "\n".join(d.remains())
    finally:
        d.kill()
    return steps.read_text().splitlines() if steps.exists() else []


def main():
    cases = Cases()
    why = containers_allowed()
    if why:
        cases.skip_all(["the daemon killed at every step"], why)
        cases.finish()
    with Scratch() as folder:
        image = busybox_image(folder)
        for warm in (0, 1):
            boundaries = []
            cases.case(f"warm {warm}: a job without any crash", lambda: boundaries.extend(life(folder, image, warm, f"w{warm}")) or None)
            stride = int(os.environ.get("CRASH_STRIDE", "1"))
            for k in range(1, len(boundaries) + 1, stride):
                cases.case(f"warm {warm}: killed at step {k}, {boundaries[k - 1]}",
                           lambda: life(folder, image, warm, f"w{warm}k{k}", k) and None)
    cases.finish()


if __name__ == "__main__":
    main()
