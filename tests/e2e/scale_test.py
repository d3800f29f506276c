#!/usr/bin/env python3
"""A pool that keeps nothing ready goes from no builder to a hundred and back."""
from concurrent.futures import ThreadPoolExecutor

from harness import case, check, daemon, equal, main, wait_for

MANY = 100


def submit_all(d, command):
    with ThreadPoolExecutor(10) as pool:
        return list(pool.map(lambda _: d.submit(command), range(MANY)))


def pool(d):
    return d.get("/v1/pools")["pools"][0]


def remains(d):
    """Builders' directories: the launcher's own processes stay while the daemon does."""
    return [p.name for p in (d.state / "platforms/local/b").iterdir() if p.name.startswith("p-")]


@case
def a_hundred_jobs_at_once_each_in_a_builder_of_its_own():
    with daemon(warm=0, max=MANY, memory="64MiB", disk="8MiB", pids=64) as d:
        equal(d.builders(), [])
        ids = submit_all(d, "echo on $MAYFLY_BUILDER")
        jobs = [d.ended(id, 180) for id in ids]
        equal({j["state"] for j in jobs}, {"succeeded"}, [j for j in jobs if j["state"] != "succeeded"][:3])
        equal(len({j["builder"] for j in jobs}), MANY, "a builder runs one job")
        for j in jobs:
            equal(d.output(j["id"]), f"on {j['builder']}\n".encode())
        d.no_builders()
        equal(remains(d), [], "while the daemon goes on")
        equal(d.cli("audit", "verify").returncode, 0)


@case
def a_hundred_builders_at_the_same_time_and_then_none():
    with daemon(warm=0, max=MANY, memory="64MiB", disk="8MiB", pids=64) as d:
        ids = submit_all(d, "trap 'exit 0' TERM; echo up; while :; do sleep 0.2; done")
        wait_for(lambda: f"all to run: {pool(d)}", lambda: all(d.job(id)["state"] == "running" for id in ids), 180)
        equal(pool(d)["busy"], MANY)
        equal(len(d.builders()), MANY)
        extra = d.submit("echo later")
        wait_for("the one above max to wait", lambda: d.job(extra).get("waiting", {}).get("code") == "pool_at_max")
        explained = d.get("/v1/pools/p/explain")
        waits = explained["pool"]["waits"]
        equal([(w["reason"]["code"], w["jobs"]) for w in waits], [("pool_at_max", 1)])
        equal([(n["number"], n["value"]) for n in explained["numbers"]], [("warm", 0), ("min", 0), ("max", MANY)])
        check(all(s["took_us"] > 0 for s in explained["starts"]) and len(explained["builders"]) == MANY, explained["starts"])
        said = d.cli("explain", "p").stdout.decode()
        check("Builders: 100 busy" in said and "1 job: pool_at_max" in said and "ready after" in said, said)
        check("Why jobs of pool p wait:\n  1 job: pool_at_max" in d.cli("status").stdout.decode(), "")
        equal(d.cli("explain", "no-such").returncode, 1)
        equal(d.cli("cancel", *map(str, ids)).returncode, 0)
        equal({d.ended(id, 180)["state"] for id in ids}, {"cancelled"})
        equal(d.ended(extra)["state"], "succeeded")
        d.no_builders(60)
        equal(remains(d), [], "while the daemon goes on")


if __name__ == "__main__":
    main()
