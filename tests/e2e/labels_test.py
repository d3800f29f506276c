#!/usr/bin/env python3
"""Several pools on one real platform: labels, preference, and what the platform allows them all together."""
import json

from harness import busybox_image, case, check, daemon, equal, main, wait_for

POOLS = """\
platforms:
  local: {{max: 3, launches_per_minute: {rate}}}
pools:
  near: {{image: "{image}", network: none, labels: [Linux, small], preference: 1, weight: 2, builders: {{max: 1, memory: 128MiB, disk: 32MiB}}}}
  far: {{image: "{image}", network: none, labels: [linux, big], preference: 2, builders: {{memory: 128MiB, disk: 32MiB}}}}
"""


def pools(rate=1000):
    return POOLS.format(image=busybox_image(), rate=rate)


@case
def a_job_with_labels_goes_to_the_preferred_pool_and_to_the_next_when_that_is_full():
    with daemon(config=pools()) as d:
        first = d.submit("echo on; sleep 100", pool="", labels=["LINUX"])
        d.running(first, b"on")
        second = d.submit("echo on; sleep 100", pool="", labels=["linux"])
        d.running(second, b"on")
        equal([d.job(id)["spec"]["pool"] for id in (first, second)], ["near", "far"])
        done = d.cli("run", "--label", "big", "--label", "linux", "--", "sh", "-c", "echo $MAYFLY_POOL")
        equal((done.returncode, done.stdout), (0, b"far\n"), done.stderr)
        # Only the full pool has this label: it waits there, and says so.
        third = d.submit("echo on", pool="", labels=["small"])
        waiting = wait_for("a reason", lambda: (d.job(third).get("waiting") or {}) if d.job(third)["state"] == "queued" else {"code": "?"})
        equal(waiting["code"], "pool_at_max", waiting)
        d.cli("cancel", str(first))
        equal(d.ended(third)["spec"]["pool"], "near")
        d.cli("cancel", str(second))
        d.no_builders()


@case
def what_no_pool_has_is_refused():
    with daemon(config=pools()) as d:
        done = d.cli("run", "--label", "windows", "--", "true")
        equal(done.returncode, 125)
        check(b"windows" in done.stderr, done.stderr)


@case
def the_platforms_total_holds_for_all_pools_together():
    with daemon(config=pools()) as d:
        ids = [d.submit("echo on; sleep 100", pool="far") for _ in range(4)]
        for id in ids[:3]:
            d.running(id, b"on")
        equal(wait_for("a reason", lambda: d.job(ids[3]).get("waiting"))["code"], "platform_at_max", d.job(ids[3]))
        other = d.submit("echo mine", pool="near")
        equal(len(d.builders()), 3)
        explained = json.loads(d.cli("explain", str(other), "--json").stdout)
        check("all of its 3 builders" in explained["job"]["waiting"]["text"], explained)
        d.cli("cancel", str(ids[0]))
        equal(d.ended(other)["state"], "succeeded")  # before the other pool's fourth: it has fewer for its weight
        d.cli("cancel", *[str(id) for id in ids[1:]])
        d.no_builders()


@case
def a_rate_budget_is_respected_and_told():
    with daemon(config=pools(rate=2)) as d:
        for _ in range(2):
            equal(d.ended(d.submit(["true"], pool="far"))["state"], "succeeded")
        late = d.submit(["true"], pool="far")
        waiting = wait_for("a reason", lambda: d.job(late).get("waiting"))
        wait_for("the rate limit", lambda: d.job(late)["waiting"]["code"] == "rate_limited")
        waiting = d.job(late)["waiting"]
        check("may start 2 builders a minute" in waiting["text"] and waiting["until"] > waiting["since"], waiting)
        d.cli("cancel", str(late))
        equal(d.ended(late)["state"], "cancelled")
        d.no_builders()


if __name__ == "__main__":
    main()
