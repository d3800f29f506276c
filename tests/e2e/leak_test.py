#!/usr/bin/env python3
"""500 real jobs, among them failing, cancelled, timed out and killed ones. Each plants files in every writable place,
background processes and a secret; afterwards nothing of them remains, and no job saw another's."""
import os
import signal
import tempfile
from pathlib import Path

from harness import Daemon, busybox_image, case, check, equal, main, needs_containers, wait_for
import leftovers

JOBS = int(os.environ.get("LEAK_JOBS", "500"))
AT_ONCE = 24
SECRET = "s3cr3t-planted-by-the-leak-test"
CONFIG = """
pools:
  p:
    image: {image}
    network: none
    secrets: [planted]
    builders: {{warm: 2, max: 12, memory: 128MiB, disk: 32MiB, pids: 64, timeout: 60s, grace: 200ms}}
secrets:
  planted: {{env: MAYFLY_TEST_PLANTED}}
"""
# Looks for what another job planted, then plants its own.
SCRIPT = """
seen=$(find / -xdev -name 'plant-*' 2>/dev/null; ls -d /tmp/plant-* /dev/shm/plant-* /workspace/plant-* 2>/dev/null || true)
[ -z "$seen" ] || { echo "SAW ANOTHER: $seen"; exit 99; }
ps | grep -q 'sleep 9[0-9][0-9][0-9]' && { echo "SAW A PROCESS"; exit 98; }
for d in / /tmp /var /root /etc /dev/shm /workspace /bin; do
  mkdir -p $d && echo "$PLANTED" > $d/plant-$MAYFLY_JOB_ID || { echo "cannot plant in $d"; exit 97; }
done
sleep 9$(printf %03d $((MAYFLY_JOB_ID % 1000))) &
setsid sh -c 'trap "" TERM HUP; sleep 9999' >/dev/null 2>&1 &
echo "planted $PLANTED"
"""
SUCCEEDS, FAILS, KILLS_ITSELF, CANCELLED, TIMES_OUT, LOSES_ITS_BUILDER = range(6)
END = ["exit 0", "exit 3", "kill -9 $$", "sleep 40", "trap '' TERM; while :; do sleep 1; done", "sleep 40"]
STATE = ["succeeded", "failed", "failed", "cancelled", "timed_out", "lost"]


def kind_of(number):
    """The ones that take a while are one in 25 each."""
    return {3: CANCELLED, 4: TIMES_OUT, 5: LOSES_ITS_BUILDER}.get(number % 25, number % 3)


def agent_of(builder):
    """The pid of the agent in this builder, seen from the host."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"/.mayfly/agent\0") and \
                    Path(f"/proc/{pid}/root/etc/hostname").read_text().strip() == builder:
                return int(pid)
        except OSError:
            pass
    return None


def disturb(d, job, kind, done):
    if job["id"] in done or kind not in (CANCELLED, LOSES_ITS_BUILDER) or job["state"] != "running" or b"planted" not in d.output(job["id"]):
        return
    if kind == CANCELLED:
        d.api("POST", f"/v1/jobs/{job['id']}/cancel")
    elif pid := agent_of(job["builder"]):
        os.kill(pid, signal.SIGKILL)
    else:
        return
    done.add(job["id"])


def run_all(d):
    """{id: (kind, job at its end)}"""
    ended, pending, todo, disturbed = {}, {}, list(range(JOBS)), set()

    def progress():
        finished = 0
        for id, kind in list(pending.items()):
            job = d.job(id)
            if job["state"] in ("queued", "assigned", "running"):
                disturb(d, job, kind, disturbed)
                continue
            ended[id] = (kind, job)
            del pending[id]
            finished += 1
        return finished

    while todo or pending:
        while todo and len(pending) < AT_ONCE:
            kind = kind_of(todo.pop())
            more = {"timeout_us": 1_000_000} if kind == TIMES_OUT else {}
            pending[d.submit(script=SCRIPT + END[kind], secrets=["planted"], **more)] = kind
        wait_for(lambda: f"a job ends; waiting for {pending}; {d.said()}", progress, 60)
    return ended


world = {}


@case
def each_of_500_jobs_ends_as_it_should():
    needs_containers()
    folder = world["folder"] = tempfile.mkdtemp(prefix="mf", dir="/tmp")
    world["namespaces"] = leftovers.network_namespaces()
    d = world["daemon"] = Daemon(folder, CONFIG.format(image=busybox_image()), env={"MAYFLY_TEST_PLANTED": SECRET})
    with d:
        ended = world["ended"] = run_all(d)
        world["logs"] = {id: d.output(id) for id in ended}
        wait_for("only warm builders are left", lambda: all(b["state"] == "ready" for b in d.builders()))
    equal(len(ended), JOBS)
    wrong = {id: (STATE[kind], job["state"], job.get("result"), world["logs"][id][-200:]) for id, (kind, job) in ended.items() if job["state"] != STATE[kind]}
    check(not wrong, f"{len(wrong)} ended otherwise", list(wrong.items())[:3])


@case
def no_job_saw_anothers():
    needs_containers()
    saw = {id: log for id, log in world["logs"].items() if b"SAW" in log or b"cannot plant" in log}
    check(not saw, list(saw.items())[:3])


@case
def each_ran_in_a_builder_of_its_own():
    needs_containers()
    builders = [job["builder"] for _, job in world["ended"].values()]
    equal(len(set(builders)), len(builders))


@case
def the_secret_is_masked_in_every_log():
    needs_containers()
    for id, log in world["logs"].items():
        check(SECRET.encode() not in log and b"planted ***" in log, id, log)


@case
def no_process_mount_cgroup_namespace_or_directory_remains():
    needs_containers()
    left = leftovers.everything(world["daemon"].state)
    left += sorted(leftovers.network_namespaces() - world["namespaces"])
    left += leftovers.files(world["daemon"].state, [job["builder"] for _, job in world["ended"].values()])
    check(not left, *left)


@case
def the_secret_is_in_no_file():
    needs_containers()
    found = leftovers.files_with(SECRET, world["folder"])
    check(not found, *found)


if __name__ == "__main__":
    main()
