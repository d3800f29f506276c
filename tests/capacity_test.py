#!/usr/bin/env python3
"""Runs every command of docs/capacity.md, and holds the examples to what the page says of them. TAP."""
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAYFLY = os.environ.get("MAYFLY", str(ROOT / "build/mayfly"))
TRACES = ROOT / "examples/traces"


def simulate(*args, code=(0, 1)):
    done = subprocess.run([MAYFLY, "simulate", *args], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in code, f"exit code {done.returncode}: {done.stderr}"
    return done


def documented():
    text = (ROOT / "docs/capacity.md").read_text()
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines() if line.startswith("mayfly ")]


def every_command():
    commands = documented()
    assert len(commands) >= 4, commands
    with tempfile.TemporaryDirectory() as folder:
        for line in commands:
            args = [f"{folder}/{a}" if a.endswith(".html") else a for a in shlex.split(line)[2:]]
            done = simulate(*args)
            assert "wait p95" in done.stdout, f"{line}\n{done.stdout}{done.stderr}"
        page = Path(folder, "capacity.html").read_text()
        assert page.count("<svg") >= 3 and "</html>" in page


def five_minutes():
    args = ["--config", str(TRACES / "mayfly.yaml"), "--pool", "general", "--jobs", "100", "--at", "once", "--duration", "5m",
            "--target", "max wait <= 5m", "--json"]
    answer = json.loads(simulate(*args, code=(1,)).stdout)["cases"][0]
    # 20 builders, of which 2 warm: five rounds of five minutes, and the last round waits for four.
    assert 1199e6 < answer["wait"]["max_us"] < 1202e6, answer["wait"]
    assert {p["name"]: p["most_builders"] for p in answer["pools"]}["general"] == 20
    found = json.loads(simulate(*args, "--find", code=(0,)).stdout)["found"]
    assert found["met"] and found["pools"]["general"]["max"] <= 100, found


def a_schedule_as_printed_does_what_was_promised():
    args = ["--pool", "general", "--trace", str(TRACES / "three-weeks.csv"), "--start", "40s", "--launches", "20"]
    done = simulate("--config", str(TRACES / "mayfly.yaml"), *args, "--target", "p95 wait <= 5s", "--find", code=(0,)).stdout
    lines = done[done.index("pools:"):].split("\n\n")[0]
    assert "cron" in lines and "MON-FRI" in lines, done
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        f.write(lines.replace("  general:\n", "  general:\n    image: docker://docker.io/library/debian:bookworm-slim\n    price: 0.12\n"))
        f.flush()
        again = simulate("--config", f.name, *args, "--target", "p95 wait <= 5s", code=(0,)).stdout
    [found] = [line.split()[1:] for line in done.split("found:\n")[1].splitlines() if line.startswith("general")]
    cost = next(line for line in again.splitlines() if line.startswith("cost")).split()[-1]
    assert found[-1] == cost, (found, again)
    # A flat day has no hours to prefer.
    flat = simulate("--config", str(TRACES / "mayfly.yaml"), "--pool", "general", "--jobs", "200", "--over", "20h", "--duration", "5m", "--start", "40s",
                    "--target", "max wait <= 5s", "--find", code=(0,)).stdout
    assert "cron" not in flat, flat


def bigger_is_cheaper():
    done = simulate("--config", str(TRACES / "mayfly.yaml"), "--trace", str(TRACES / "working-day.csv"), "--compare",
                    str(TRACES / "bigger.yaml"), "--json", code=(0,))
    one, two = json.loads(done.stdout)["cases"]
    assert one["jobs"] == two["jobs"] == 2000
    assert two["cost"] < one["cost"] and two["wait"]["p95_us"] < one["wait"]["p95_us"]


def labels():
    args = ["--config", str(TRACES / "labels.yaml")]
    answer = json.loads(simulate(*args, "--trace", str(TRACES / "labels.csv"), "--json", code=(0,)).stdout)["cases"][0]
    pools = {p["name"]: p for p in answer["pools"]}
    # The 20 that come at once fill the 4 cheap builders first; jobs for a GPU have one pool only.
    assert pools["cellar"]["most_builders"] == 4 and pools["cloud"]["most_builders"] == 16, pools
    assert pools["gpu"]["jobs"] == 3 and sum(p["jobs"] for p in pools.values()) == answer["jobs"] == 29, pools
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as f:
        f.write("submitted,duration,labels\n0,5m,linux\n1,5m,linux arm\n")
        f.flush()
        done = simulate(*args, "--trace", f.name, code=(1,))
        assert f"{f.name}:3: no pool has the labels 'arm, linux'" in done.stderr, done.stderr


def same_bytes():
    args = ["--config", str(TRACES / "mayfly.yaml"), "--trace", str(TRACES / "working-day.csv"), "--json"]
    assert simulate(*args).stdout == simulate(*args).stdout


def trace_is_the_scripts():
    for name in ("working-day", "three-weeks"):
        made = subprocess.run([TRACES / f"make-{name}"], capture_output=True, text=True, check=True).stdout
        assert made == (TRACES / f"{name}.csv").read_text(), name


def bad_lines():
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as f:
        f.write("submitted,duration,pool\n0,5m,general\nnever,5m,general\n")
        f.flush()
        done = simulate("--config", str(TRACES / "mayfly.yaml"), "--trace", f.name, code=(1,))
        assert f"{f.name}:3: 'never' is no time" in done.stderr, done.stderr
    for args in (["--find", "--jobs", "1"], [], ["--jobs", "1", "--history"], ["--jobs", "1", "--at", "twice"]):
        simulate("--config", str(TRACES / "mayfly.yaml"), *args, code=(2,))


CASES = {"every command of docs/capacity.md runs": every_command, "the five-minute question": five_minutes,
         "a schedule as it is printed does what was promised": a_schedule_as_printed_does_what_was_promised,
         "more room and no warm builders cost less": bigger_is_cheaper, "labels bring jobs to pools": labels, "the same input gives the same bytes": same_bytes,
         "the traces are what their scripts write": trace_is_the_scripts, "wrong lines and wrong options are refused": bad_lines}


def main():
    bad = 0
    for number, (name, case) in enumerate(CASES.items(), 1):
        try:
            case()
            print(f"ok {number} - {name}")
        except Exception as e:  # noqa: BLE001
            bad = 1
            print(f"not ok {number} - {name}")
            for line in f"{type(e).__name__}: {e}".splitlines():
                print(f"# {line}")
    print(f"1..{len(CASES)}")
    return bad


if __name__ == "__main__":
    sys.exit(main())
