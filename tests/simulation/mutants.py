#!/usr/bin/env python3
"""Shows that the simulation finds faults: breaks the program on purpose, one fault at a time, and counts the seeds until
an invariant breaks. Faults inside plan and control are the patches in mutations/, each applied to a copy of the tree;
faults of the ports around control are built into the simulation (mutation.h).

  tests/simulation/mutants.py [--seeds 400] [--healthy 400] [--tree build/mutants] [NAME…]     exits 1 if one was not found
"""
import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PATCHES = sorted((ROOT / "tests/simulation/mutations").glob("*.patch"))
HEADER = ROOT / "tests/simulation/mutation.h"


def copy(tree):
    """The files of this tree, those unchanged left alone, so that little is built again."""
    names = subprocess.check_output(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, text=True)
    for name in filter(None, names.split("\0")):
        source, target = ROOT / name, tree / name
        if not source.is_file() or (target.exists() and target.read_bytes() == source.read_bytes()):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def build(tree):
    out = tree / "build/release"
    if not (out / "build.ninja").exists():
        subprocess.run(["cmake", "--log-level=NOTICE", "--preset", "release"], cwd=tree, check=True)
    done = subprocess.run(["cmake", "--build", out, "--target", "simulation"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return None if done.returncode == 0 else done.stdout[-2000:]


def hunt(tree, seeds, *flags):
    """(the invariant that broke, seeds needed); no invariant: none broke."""
    try:
        done = subprocess.run([tree / "build/release/tests/simulation/simulation", "--seeds", f"1..{seeds}", *flags],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, errors="replace")
    except subprocess.TimeoutExpired:
        return "a seed ends", seeds
    if m := re.search(r"^seed (\d+) broke an invariant at .*\n  (.*)$", done.stdout, re.M):
        return m[2], int(m[1])
    return (None, seeds) if done.returncode == 0 else (f"it ended with {done.returncode}", seeds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=400)
    parser.add_argument("--healthy", type=int, help="seeds of the unbroken program first (as many as of the others)")
    parser.add_argument("--tree", type=Path, default=ROOT / "build/mutants")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    wanted = lambda name: not args.names or name in args.names
    missed = 0

    def tell(name, invariant, seeds):
        nonlocal missed
        missed += invariant is None
        print(f"| {name} | {invariant or 'NOT FOUND'} | {seeds} |", flush=True)

    copy(args.tree)
    if problem := build(args.tree):
        sys.exit(f"the tree does not build:\n{problem}")
    healthy, seeds = hunt(args.tree, args.healthy or args.seeds)
    if healthy:
        sys.exit(f"the program breaks an invariant without any mutation, at seed {seeds}: {healthy}")
    print("| fault | found by invariant | seeds |\n| --- | --- | --- |")
    for name in re.findall(r'\{Mutation::\w+, "([a-z-]+)"\}', HEADER.read_text()):
        if wanted(name):
            tell(name, *hunt(args.tree, args.seeds, "--mutation", name))
    for patch in filter(lambda p: wanted(p.stem), PATCHES):
        applied = subprocess.run(["patch", "-p1", "-F3", "-s", "-i", patch], cwd=args.tree, stdout=subprocess.PIPE, text=True)
        problem = applied.stdout if applied.returncode != 0 else build(args.tree)
        if problem:
            missed += 1
            print(f"| {patch.stem} | NOT BUILT: the patch needs care | |\n{problem}")
        else:
            tell(patch.stem, *hunt(args.tree, args.seeds))
        copy(args.tree)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
