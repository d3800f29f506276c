#!/usr/bin/env python3
"""How long `mayfly simulate` takes for a million jobs: random arrivals over 30 days, random lengths, so that 23 or 116 run at
once on average. Prints a line for each. Takes about a minute; wants a release build (MAYFLY, else build/mayfly)."""
import os
import random
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAYFLY = os.environ.get("MAYFLY", str(ROOT / "build/mayfly"))
JOBS, SPAN, LIMIT = 1_000_000, 30 * 86400, 20


def write_trace(path, mean):
    chance, now = random.Random(1), 0.0
    with open(path, "w") as out:
        out.write("submitted,duration\n")
        for _ in range(JOBS):
            now += chance.expovariate(JOBS / SPAN)
            out.write(f"{now:.3f},{chance.expovariate(1 / mean):.3f}\n")


def main():
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace.csv")
        for mean in (60, 300):
            write_trace(trace, mean)
            for room, most in (("with room", 1000), ("full, and a queue", round(JOBS * mean / SPAN) + 2)):
                config = Path(folder, "mayfly.yaml")
                config.write_text(f"pools: {{p: {{image: 'x:1', builders: {{warm: 0, max: {most}, timeout: 24h}}}}}}\n")
                begin = time.monotonic()
                done = subprocess.run([MAYFLY, "simulate", "--config", config, "--trace", trace], capture_output=True, text=True, check=True)
                took = time.monotonic() - begin
                line = next(x for x in done.stdout.splitlines() if x.startswith("builders on average"))
                grid = "grid" if "onto a grid" in done.stdout else "exact"
                print(f"{took:6.1f} s ({'within' if took <= LIMIT else 'MISSES'} {LIMIT} s), {grid}, {room}: {line.split()[-1]} builders on average",
                      flush=True)


if __name__ == "__main__":
    main()
