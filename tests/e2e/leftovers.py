#!/usr/bin/env python3
"""What of a state directory's builders is still on this host: processes, mounts, cgroups, network namespaces, files.

  leftovers.py STATE        after its daemon has ended: names what remains and exits 1, or says that nothing does
"""
import os
import sys
from pathlib import Path


def read(path):
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def link(path):
    """What it points at, as a list of one; of none when it is gone."""
    try:
        return [os.readlink(path)]
    except OSError:
        return []


def links(folder):
    """What those in the folder point at. A process's folder empties while it is read, when the process ends."""
    try:
        return [target for entry in list(os.scandir(folder)) for target in link(entry.path)]
    except OSError:
        return []


def processes(state):
    """Those that have the state directory open, mounted, as their program or on their command line; not this one's parents."""
    needle, found = os.fsencode(str(state)), []
    family, pid = set(), os.getpid()
    while pid > 1:
        family.add(pid)
        pid = int(read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[1] or 0)
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) in family:
            continue
        where = f"/proc/{entry.name}"
        command = read(f"{where}/cmdline").replace(b"\0", b" ").decode(errors="replace").strip()
        if not command:
            continue  # a kernel thread or a zombie
        hints = command.encode() + read(f"{where}/mountinfo") + "\n".join(links(f"{where}/fd")).encode(errors="replace")
        if needle in hints:
            found.append(f"process {entry.name}: {command[:100]}")
    return found


def parents():
    """{pid: its parent}, zombies left out."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            fields = read(f"/proc/{entry.name}/stat").rpartition(b") ")[2].split()
            if len(fields) > 1 and fields[0] != b"Z":
                found[int(entry.name)] = int(fields[1])
    return found


def children(pid):
    return {child for child, parent in parents().items() if parent == pid}


def descendants(pid):
    tree, found, new = parents(), set(), {pid}
    while new:
        new = {child for child, parent in tree.items() if parent in new} - found
        found |= new
    return found


def mounts(state):
    return [f"mount: {line.split()[4]}" for line in read("/proc/self/mountinfo").decode().splitlines() if str(state) in line]


def cgroups(state):
    """Those of this state directory's local platform, by the name it gives them: FNV-1a of its directory. (jobs_test holds
    that a running builder's are found, so that a changed name does not make this blind.)"""
    number = 14695981039346656037
    for byte in os.fsencode(f"{state}/platforms/local"):
        number = (number ^ byte) * 1099511628211 % 2**64
    name = "mayfly-" + number.to_bytes(8, "little")[:6].hex()
    return [f"cgroup: {os.path.join(folder, name)}" for folder, folders, _ in os.walk("/sys/fs/cgroup") if name in folders]


def network_namespaces():
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                found.add(os.readlink(f"/proc/{entry.name}/ns/net"))
            except OSError:
                pass
    return found | ({f"/run/netns/{e.name}" for e in os.scandir("/run/netns")} if os.path.isdir("/run/netns") else set())


def files(state, builders):
    """Files and directories named after a builder that is gone."""
    return [f"file: {Path(folder, name)}" for folder, folders, names in os.walk(state) for name in folders + names
            if any(name == b or name.startswith((b + ".", b + "-", b + "_")) for b in builders)]


def files_with(secret, *places):
    """Files that contain the secret's bytes."""
    needle, found = os.fsencode(secret), []
    for place in places:
        for folder, _, names in os.walk(place):
            for name in names:
                path = Path(folder, name)
                if path.is_file() and not path.is_symlink() and needle in read(path):
                    found.append(f"the secret is in {path}")
    return found


def everything(state):
    return processes(state) + mounts(state) + cgroups(state)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    state = Path(sys.argv[1]).resolve()
    found = everything(state)
    platforms = state / "platforms"
    found += [f"file: {p}" for p in platforms.rglob("*") if "builders" in p.parts and p.name != "builders"]
    for what in found:
        print(f"left behind: {what}")
    if not found:
        print("nothing is left: no process, mount or cgroup, and no builder's directory")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
