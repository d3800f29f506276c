#!/usr/bin/env python3
"""The rules of the house, checked on the files as they lie there. Speaks TAP, so that tools/run-tests counts each rule.

Every rule is first shown to be able to fail: on a small tree that breaks it and nothing else.
"""
import argparse
import os
import re
import sys
import tempfile
from pathlib import Path

# Who may include whom: the arrows of docs/ARCHITECTURE.md. A room may always include itself.
CORE = {"base", "model", "ports", "os"}
ARROWS = {
    "base": set(),
    "model": {"base"},
    "plan": {"base", "model"},
    "ports": {"base", "model"},
    "os": {"base"},
    "store/sqlite": CORE,
    "store/memory": CORE,  # a stand-in for tests
    "platforms/fake": CORE,
    "platforms/local": CORE | {"agent"},  # the agent's command line and its embedded program, nothing else of it
    "ci/fake": CORE,
    "ci/azure_devops": CORE,
    "images": CORE,
    "secrets": CORE,
    "ci/github": CORE,
    "agent": {"base", "model"},
    "net": CORE,
    "control": CORE | {"plan"},
    "simulate": {"base", "model", "plan", "ports", "control"},
    "api": CORE | {"plan", "control", "net"},
    "cli": {"base", "model", "os"},
    "app": None,  # the only room that knows every concrete thing
}
# What a test may use on top of its room's own: stand-ins for the ports.
TEST_ARROWS = {"platforms/fake", "ci/fake", "store/memory", "store/sqlite", "agent"}
# Cut through every arrow: a contract suite is a header of tests, used by the rooms that must keep it.
TEST_SUITES = "tests/contract/"

MAX_LINES = 800
CODE = {".cc", ".h", ".py", ".sh", ".cmake"}
HEAVY = re.compile(r'#\s*include\s*<(boost/asio|boost/beast|curl)/')
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)
COROUTINE = re.compile(r'\bco_(await|yield|return)\b')
SLEEP = re.compile(r'\b(sleep_for|sleep_until|usleep|nanosleep)\b|(?<![\w"\'.-])sleep\s*\(')
LOOP = re.compile(r'\b(for|while)\s*\(')
WORKPLACE = re.compile(r'(?<![\w.}/$-])/(work|farm)/')
LINK = re.compile(r'\]\(([^)#\s]+)(?:#[^)]*)?\)')
MAKE = re.compile(r'`make ([a-z][a-z-]*)')
NOT_OURS = {".git", "build", ".cache", "node_modules", "__pycache__", ".vscode", ".idea"}


class Tree:
    def __init__(self, root):
        self.root = Path(root)
        self.files = {}
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(d for d in folders if d not in NOT_OURS)
            for name in sorted(names):
                path = Path(folder, name)
                if name in NOT_OURS or path.is_symlink() or path.stat().st_size > 4 << 20:
                    continue
                try:
                    self.files[str(path.relative_to(self.root))] = path.read_text()
                except UnicodeDecodeError:
                    pass  # not text

    def matching(self, *suffixes, under=""):
        return {p: t for p, t in self.files.items() if p.startswith(under) and p.endswith(suffixes)}

    def cpp(self):
        return self.matching(".cc", ".h", under="src/")


def line_of(text, match):
    return text.count("\n", 0, match.start()) + 1


def code_only(text):
    """Without comments; line numbers stay."""
    text = re.sub(r'/\*.*?\*/', lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    return re.sub(r'//[^\n]*', "", text)


def room_of(path):
    """src/platforms/local/x.cc → platforms/local; None outside every room."""
    inside = path.removeprefix("src/")
    for room in sorted(ARROWS, key=len, reverse=True):
        if inside.startswith(room + "/"):
            return room
    return None


def is_test(path):
    return path.endswith("_test.cc") or "_test_" in path or path.endswith(("_test.h", "_contract.h", "testing.h"))


def arrows(tree):
    for path, text in tree.cpp().items():
        room = room_of(path)
        if room is None or ARROWS[room] is None:
            continue
        allowed = ARROWS[room] | {room} | (TEST_ARROWS if is_test(path) else set())
        for m in INCLUDE.finditer(text):
            target = m.group(1)
            if target.startswith(TEST_SUITES) and is_test(path):
                continue
            to = room_of("src/" + target)
            if to is None and "src/" + target in tree.files:
                to = target  # a file outside every room
            if to is not None and to not in allowed:
                yield f'{path}:{line_of(text, m)}: {room} may not include "{target}"; it may include {", ".join(sorted(allowed))}'


def includes_named_by_room(tree):
    for path, text in tree.cpp().items():
        for m in INCLUDE.finditer(text):
            if "/" not in m.group(1) or ".." in m.group(1):
                yield f'{path}:{line_of(text, m)}: write "room/file.h", not "{m.group(1)}"'


def rooms(tree):
    for path in tree.cpp():
        room = room_of(path)
        if room is None or "/" in path.removeprefix(f"src/{room}/"):
            yield f"{path}: no such room; the rooms are {', '.join(ARROWS)}"


def file_sizes(tree):
    for path, text in tree.files.items():
        if Path(path).suffix in CODE or (path.startswith("tools/") and text.startswith("#!")):
            if (lines := text.count("\n")) > MAX_LINES:
                yield f"{path}: {lines} lines; cut it along a natural seam below {MAX_LINES}"


def coroutines(tree):
    for path, text in tree.cpp().items():
        if room_of(path) != "net" and (m := COROUTINE.search(code_only(text))):
            yield f"{path}:{line_of(code_only(text), m)}: {m.group()} outside net/"


def heavy_headers(tree):
    """A header that brings Asio, Beast or curl along, itself or through others, serves its own room alone."""
    headers = tree.matching(".h", under="src/")
    heavy = {p: m.group(1) for p, t in headers.items() if (m := HEAVY.search(t))}
    includes = {p: ["src/" + m.group(1) for m in INCLUDE.finditer(t)] for p, t in tree.cpp().items()}
    while grown := {p: heavy[i] for p in headers if p not in heavy for i in includes[p] if i in heavy}:
        heavy |= grown
    for path, targets in includes.items():
        for target in targets:
            if target in heavy and room_of(target) != room_of(path):
                yield f"{path}: includes {target.removeprefix('src/')}, which brings {heavy[target]} along: seconds for every includer"


def no_sleeps(tree):
    tests = {p: t for p, t in tree.cpp().items() if is_test(p)} | tree.matching(".cc", ".h", under="tests/")
    for path, text in tests.items():
        code = code_only(text)
        for m in SLEEP.finditer(code):
            before = code[:m.start()].splitlines()[-5:]
            if any(LOOP.search(line) for line in before):
                continue  # between two looks at a condition: that is how one waits where nothing can be waited on
            yield f"{path}:{line_of(code, m)}: {m.group().strip()} in a test: wait for the condition itself"


def no_workplace(tree):
    for path, text in tree.files.items():
        if m := WORKPLACE.search(text):
            yield f"{path}:{line_of(text, m)}: a path of somebody's machine: {m.group()}"


def pragma_once(tree):
    for path, text in tree.matching(".h").items():
        if path.startswith("examples/"):  # C, with guards as C has them
            continue
        if not text.lstrip().startswith("#pragma once") and "\n#pragma once\n" not in text:
            yield f"{path}: no #pragma once"


def links(tree):
    for path, text in tree.matching(".md").items():
        for m in LINK.finditer(text):
            if "://" in m.group(1) or m.group(1).startswith("mailto:"):
                continue
            if not (tree.root / Path(path).parent / m.group(1)).exists():
                yield f"{path}:{line_of(text, m)}: links to {m.group(1)}, which is not there"


def make_targets(tree):
    targets = set(re.findall(r'^([a-z-]+):', tree.files.get("Makefile", ""), re.M))
    for path, text in tree.matching(".md").items():
        for m in MAKE.finditer(text):
            if m.group(1) not in targets:
                yield f"{path}:{line_of(text, m)}: `make {m.group(1)}`: the Makefile has no such target"


def faults_fit(tree):
    """The deliberate faults of the simulation are patches: code that moves on must take them along."""
    for path, text in tree.matching(".patch").items():
        target = re.search(r"^\+\+\+ b/(.*)$", text, re.M).group(1)
        for hunk in re.split(r"^@@.*\n", text, flags=re.M)[1:]:
            before = "".join(line[1:] for line in hunk.splitlines(True) if line[0] in " -")
            if before not in tree.files.get(target, ""):
                yield f"{path}: {target} no longer has the lines that it changes"


# Each rule with a tree that breaks it: {path: text}. The same tree passes once `mend` is laid over it.
RULES = {
    "includes follow the arrows": (arrows,
        {"src/model/a.h": '#pragma once\n#include "control/b.h"\n', "src/control/b.h": "#pragma once\n"},
        {"src/model/a.h": '#pragma once\n#include "base/c.h"\n', "src/base/c.h": "#pragma once\n"},
        {"src/platforms/local/a.cc": '#include "platforms/fake/b.h"\n', "src/platforms/fake/b.h": "#pragma once\n"},
        {"src/platforms/local/a.cc": '#include "ports/platform.h"\n'}),
    "includes name the room": (includes_named_by_room,
        {"src/os/a.cc": '#include "a.h"\n', "src/os/a.h": "#pragma once\n"}, {"src/os/a.cc": '#include "os/a.h"\n'}),
    "every source file lies in a room": (rooms,
        {"src/util/a.cc": "int a;\n"}, {"src/util/a.cc": None, "src/base/a.cc": "int a;\n"}),
    f"no file over {MAX_LINES} lines": (file_sizes,
        {"src/os/a.cc": "int a;\n" * (MAX_LINES + 1)}, {"src/os/a.cc": "int a;\n" * MAX_LINES}),
    "coroutines only in net/": (coroutines,
        {"src/control/a.cc": "co_await x;\n"}, {"src/control/a.cc": "// co_await x\n", "src/net/a.cc": "co_await x;\n"}),
    "heavy headers stay inside their room": (heavy_headers,
        {"src/net/a.h": "#pragma once\n#include <boost/asio/io_context.hpp>\n", "src/net/b.h": '#pragma once\n#include "net/a.h"\n',
         "src/api/c.cc": '#include "net/b.h"\n'},
        {"src/net/b.h": "#pragma once\n", "src/net/c.cc": '#include "net/a.h"\n'}),
    "no sleeps in tests": (no_sleeps,
        {"src/os/a_test.cc": "std::this_thread::sleep_for(1s);\n"},
        {"src/os/a_test.cc": 'run("/bin/sleep", "60"); // sleep(1)\nrun("sleep 3");\nwhile (!done())\n  std::this_thread::sleep_for(1ms);\n'}),
    "no paths of somebody's machine": (no_workplace,
        {"docs/a.md": "see /wor" "k/x\n"}, {"docs/a.md": "see /workspace/x and docs/wor" "k/x\n"}),
    "headers say #pragma once": (pragma_once,
        {"src/os/a.h": "int a;\n"}, {"src/os/a.h": "// what it is\n#pragma once\nint a;\n"}),
    "links in documents lead somewhere": (links,
        {"README.md": "[a](docs/A.md#b) [w](https://x.org/)\n"}, {"docs/A.md": "a\n"}),
    "documents name real make targets": (make_targets,
        {"README.md": "`make demo`\n", "Makefile": "test: ## t\n"}, {"Makefile": "demo: ## d\n"}),
    "deliberate faults fit the code": (faults_fit,
        {"src/os/a.cc": "int a;\nint c;\n", "a.patch": "--- a/src/os/a.cc\n+++ b/src/os/a.cc\n@@ -1,2 +1,1 @@\n int a;\n-int b;\n"},
        {"src/os/a.cc": "int a;\nint b;\n"}),
}


def self_test(rule, *trees):
    """What is wrong with the rule itself: trees come in pairs, one that breaks it and what mends that one."""
    return [why for pair in zip(trees[::2], trees[1::2]) if (why := try_on(rule, *pair))]


def try_on(rule, broken, mend):
    """None if the rule finds what is broken and passes what is mended, else why not."""
    with tempfile.TemporaryDirectory(prefix="house") as root:
        def lay(files):
            for name, text in files.items():
                path = Path(root, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True) if text is None else path.write_text(text)
        lay(broken)
        if not list(rule(Tree(root))):
            return "it passes a tree that breaks it"
        lay(mend)
        if found := list(rule(Tree(root))):
            return "it fails a tree that keeps it: " + found[0]
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=Path(__file__).resolve().parent.parent)
    tree = Tree(parser.parse_args().root)
    if not tree.cpp():
        sys.exit(f"house_test: no source files below {tree.root}/src")
    number, bad = 0, 0

    def report(name, problems):
        nonlocal number, bad
        number += 1
        bad += bool(problems)
        print(f"{'not ok' if problems else 'ok'} {number} - {name}")
        for p in problems[:20]:
            print(f"# {p}")
        if len(problems) > 20:
            print(f"# … and {len(problems) - 20} more")

    for name, (rule, *trees) in RULES.items():
        report(f"{name}: the rule can fail", self_test(rule, *trees))
        report(name, list(rule(tree)))
    print(f"1..{number}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
