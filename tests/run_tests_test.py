#!/usr/bin/env python3
"""tools/run-tests must never call a failure a success: each way a test program can go wrong, played by a small script."""
import argparse
import importlib.machinery
import importlib.util
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("run_tests", str(ROOT / "tools/run-tests"))
spec = importlib.util.spec_from_loader("run_tests", loader)
run_tests = importlib.util.module_from_spec(spec)
sys.modules["run_tests"] = run_tests
loader.exec_module(run_tests)

REPORT = """cat >"${1#--gtest_output=xml:}" <<'XML'
<testsuites><testsuite name="S"><testcase name="good" status="run" classname="S"/>%s</testsuite></testsuites>
XML
"""
BAD = '<testcase name="bad" status="run" classname="S"><failure message="m">x_test.cc:1 m</failure></testcase>'
SKIP = '<testcase name="skip" status="run" classname="S"><skipped message="x_test.cc:1&#x0A;no namespaces here"/></testcase>'
CRASH = 'echo "[==========] Running 4 tests from 1 test suite."; echo "[ RUN      ] S.a"; echo "[       OK ] S.a (0 ms)"; echo "[ RUN      ] S.b"; kill -SEGV $$'

# name: (reader, what the program does, passed, failed, skipped)
CASES = {
    "gtest: all pass": ("gtest", REPORT % "", 1, 0, 0),
    "gtest: a failed case": ("gtest", REPORT % BAD + "exit 1", 1, 1, 0),
    "gtest: a skipped case": ("gtest", REPORT % SKIP, 1, 0, 1),
    "gtest: cases pass, then the sanitizer complains at exit": ("gtest", REPORT % "" + "exit 66", 1, 1, 0),
    "gtest: a crash counts the cases not reached": ("gtest", CRASH, 1, 3, 0),
    "gtest: no output at all": ("gtest", "exit 0", 0, 1, 0),
    "gtest: hangs": ("gtest", "while :; do :; done", 0, 1, 0),
    "tap: all pass": ("tap", "echo 'ok 1 - a'; echo 1..1", 1, 0, 0),
    "tap: a failed case": ("tap", "echo 'ok 1 - a'; echo 'not ok 2 - b'; echo '# why'; echo 1..2; exit 1", 1, 1, 0),
    "tap: a skipped case": ("tap", "echo 'ok 1 - a # SKIP no root'; echo 1..1", 0, 0, 1),
    "tap: stops half way": ("tap", "echo 'ok 1 - a'; exit 0", 1, 1, 0),
    "tap: fewer than planned": ("tap", "echo 1..2; echo 'ok 1 - a'", 1, 1, 0),
    "gtest: not built": ("gtest", None, 0, 1, 0),
    "tap: all pass, exits with an error": ("tap", "echo 'ok 1 - a'; echo 1..1; exit 3", 1, 1, 0),
}


def main():
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, (reader, body, *expected)) in enumerate(CASES.items(), 1):
            program = Path(folder, f"p{number}")
            if body is not None:
                program.write_text("#!/bin/sh\n" + body + "\n")
                program.chmod(0o755)
            run = run_tests.run_gtest if reader == "gtest" else run_tests.run_tap
            o = run("p", [str(program)], 1, dict(os.environ))
            got = [o.passed, len(o.failed), len(o.skipped)]
            right = got == expected and (not o.skipped or bool(o.skipped[0][1]))
            bad += not right
            print(f"{'ok' if right else 'not ok'} {number} - {name}")
            if not right:
                print(f"# expected passed, failed, skipped {expected}, got {got}: {o}")
    # CMake knows a test whose program was not built, but not its command: it must not fall out of the count.
    run_tests.subprocess.check_output = lambda *_: b'{"tests": [{"name": "lost_test"}]}'
    args = argparse.Namespace(only=None, limit=1)
    listed = [job[2](*job[3:]) for job in run_tests.Run(args).programs("release", 1)]
    right = [len(o.failed) for o in listed] == [1]
    bad += not right
    print(f"{'ok' if right else 'not ok'} {len(CASES) + 1} - ctest: a program that was not built")
    print(f"1..{len(CASES) + 1}")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
