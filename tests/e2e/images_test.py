#!/usr/bin/env python3
"""Where images come from: containers-storage, files, and a real registry on this host's loopback, over plain HTTP."""
import contextlib
import json
import os
import pathlib
import subprocess
import time

from harness import Daemon, Scratch, case, check, daemon, equal, main, needs_containers, wait_for
from registries import Registry, own_image, skopeo

POOLS = """\
pools:
  p:
    image: {image}
    network: none
    builders: {{max: 2, memory: 128MiB, disk: 32MiB, pids: 64}}
"""


def stored():
    """Names in containers-storage that Mayfly gave to what it fetched."""
    listed = subprocess.run(["buildah", "images", "--json"], capture_output=True, text=True, check=True).stdout
    return {n for image in json.loads(listed or "[]") for n in image.get("names") or [] if n.startswith("localhost/mayfly-fetched")}


@contextlib.contextmanager
def fetched_images_removed():
    before = stored()
    try:
        yield
    finally:
        if new := stored() - before:
            subprocess.run(["buildah", "rmi", *new], capture_output=True)


def answer_of(image, argv=("cat", "/word")):
    with daemon(config=POOLS.format(image=image)) as d:
        done = d.run("--", *argv)
        equal(done.returncode, 0, done.stderr.decode(errors="replace"))
        return done.stdout.decode(), d.get("/v1/pools")


@case
def from_files_and_from_the_storage():
    needs_containers()
    with Scratch() as folder, fetched_images_removed(), own_image(folder) as image:
        skopeo("copy", "--quiet", f"containers-storage:{image}", f"docker-archive:{folder}/image.tar:some/name:1")
        skopeo("copy", "--quiet", f"containers-storage:{image}", f"oci:{folder}/layout:one")
        skopeo("copy", "--quiet", f"containers-storage:{image}", f"oci-archive:{folder}/layout.tar:one")
        bare = image.removeprefix("localhost/")
        for reference in (image, bare, f"containers-storage:{image}", f"docker-archive:{folder}/image.tar", f"oci:{folder}/layout:one",
                          f"oci-archive:{folder}/layout.tar:one"):
            said, pools = answer_of(reference)
            equal(said, f"{folder.name} 1\n", reference)
            check("sha256:" in json.dumps(pools), reference, pools)
            if reference.startswith("oci:"):
                equal(answer_of(reference, ("/bin/sh", "-c", "echo $NUMBER"))[0], "1\n", "the image's environment")


@case
def a_registry_on_the_loopback_over_plain_http_is_asked_once():
    needs_containers()
    with Scratch() as folder, fetched_images_removed(), own_image(folder) as image, Registry(folder) as registry:
        reference = registry.push(image, "team/tool:stable")
        with daemon(config=POOLS.format(image=reference)) as d:
            for _ in range(3):
                equal(d.run("--", "cat", "/word").stdout, f"{folder.name} 1\n".encode(), d.said())
            asked = registry.pulls()
            check(asked > 0, registry.log.read_text()[-2000:])
            for _ in range(3):
                equal(d.run("--", "true").returncode, 0)
            equal(registry.pulls(), asked, "the registry was asked again for an image that is known by its digest")


@case
def a_tag_that_moves_changes_no_image_in_use():
    needs_containers()
    with Scratch() as folder, fetched_images_removed(), own_image(folder) as one, own_image(folder, 2) as two, Registry(folder) as registry:
        reference = registry.push(one, "team/tool:stable")
        with daemon(config=POOLS.format(image=reference)) as d:
            equal(d.run("--", "cat", "/word").stdout, f"{folder.name} 1\n".encode(), d.said())
            registry.push(two, "team/tool:stable")
            equal(d.run("--", "cat", "/word").stdout, f"{folder.name} 1\n".encode())
        equal(answer_of(reference)[0], f"{folder.name} 2\n", "a new daemon resolves the tag anew")


@case
def what_was_fetched_is_found_again_without_the_registry():
    needs_containers()
    with Scratch() as folder, fetched_images_removed(), own_image(folder) as image, Registry(folder) as registry:
        reference = registry.push(image, "team/tool:stable")
        digest = skopeo("inspect", "--tls-verify=false", "--format", "{{.Digest}}", reference)
        names = stored()
        equal(answer_of(reference)[0], f"{folder.name} 1\n")
        kept = stored() - names
        equal(answer_of(reference)[0], f"{folder.name} 1\n")
        equal(stored() - names, kept, "the same image was kept twice")
        registry.stop()
        equal(answer_of(reference)[0], f"{folder.name} 1\n", "by its tag")
        equal(answer_of(reference.removesuffix(":stable") + "@" + digest)[0], f"{folder.name} 1\n", "by its digest")


def lease_of(ending):
    """The file whose time is that of the last use of the fetched image with such a name."""
    root = pathlib.Path(json.loads(subprocess.run(["buildah", "info"], capture_output=True, text=True, check=True).stdout)["store"]["GraphRoot"])
    for image in json.loads(next(root.glob("*-images/images.json")).read_text()):
        if any(name.endswith(ending) for name in image.get("names") or []):
            return root / "mayfly-fetched" / image["layer"]


def make_old(lease, days=31):
    os.utime(lease, (time.time() - days * 86400,) * 2)


@case
def what_nobody_has_started_from_for_a_month_is_removed_when_something_is_fetched():
    needs_containers()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(Scratch())
        stack.enter_context(fetched_images_removed())
        images = [stack.enter_context(own_image(folder, n)) for n in range(1, 4)]
        registry = stack.enter_context(Registry(folder))
        unique, pools = "t" + registry.address.split(":")[1], {}
        for n, image in enumerate(images):
            registry.push(image, f"{unique}/tool:{n}")
            pools[f"p{n}"] = (f"    image: docker://{registry.address}/{unique}/tool:{n}\n    network: none\n"
                              "    builders: {max: 2, memory: 128MiB, disk: 32MiB, pids: 64}\n")

        def names_of(n):
            return {name for name in stored() if name.endswith(f"{unique}/tool:{n}")}

        def config(*wanted):
            return "pools:\n" + "".join(f"  {p}:\n{pools[p]}" for p in wanted)

        with daemon(config=config("p0")) as d:
            equal(d.cli("run", "--pool", "p0", "--", "cat", "/word").returncode, 0, d.said())
            lease = lease_of(f"{unique}/tool:0")
            check(lease.exists(), "it has a lease")
            with daemon(config=config("p1"), name="other") as other:
                make_old(lease)
                equal(other.cli("run", "--pool", "p1", "--", "true").returncode, 0, other.said())
                check(names_of(0), "another daemon has it in use", other.said())
        check(names_of(0) and names_of(1), stored())
        make_old(lease)
        with daemon(config=config("p1")) as d:
            equal(d.cli("run", "--pool", "p1", "--", "true").returncode, 0, d.said())
            check(names_of(0), "nothing new was fetched")
        with daemon(config=config("p1", "p2")) as d:
            job = int(d.cli("run", "--pool", "p1", "--detach", "--", "sh", "-c", "echo on; while :; do sleep 1; done").stdout)
            d.running(job, b"on")
            make_old(lease_of(f"{unique}/tool:1"))
            equal(d.cli("run", "--pool", "p2", "--", "true").returncode, 0, d.said())
            wait_for(lambda: f"the old copy to go: {stored()} {d.said()}", lambda: not names_of(0) and not lease.exists())
            check(names_of(1) and names_of(2), "a builder runs on it, and the last was just fetched", stored())
            equal(d.cli("cancel", str(job)).returncode, 0)
            d.no_builders()


@case
def a_registry_that_cannot_be_reached_is_waited_for():
    needs_containers()
    with Scratch() as folder, fetched_images_removed(), own_image(folder) as image:
        registry = Registry(folder)
        with registry:
            reference = registry.push(image, "late:1")
        with daemon(config=POOLS.format(image=reference)) as d:
            job = d.submit("cat /word")
            waiting = lambda: d.job(job).get("waiting", {})
            wait_for(lambda: f"the reason: {d.job(job)}", lambda: waiting().get("code") == "image_unavailable")
            check("cannot be fetched" in waiting()["text"] and "refused" in waiting()["text"] and registry.address in waiting()["text"], waiting())
            check("time=" not in waiting()["text"], "skopeo's own words are for its log", waiting())
            with registry:
                equal(d.ended(job, 90)["state"], "succeeded", d.job(job))


@case
def an_image_that_does_not_exist_fails_the_job():
    needs_containers()
    with Scratch() as folder, Registry(folder) as registry:
        for reference in (f"docker://{registry.address}/nobody/nothing:1", f"oci:{folder}/none:1", f"docker-archive:{folder}/none.tar",
                          "localhost/mayfly-e2e-nothing:1", "containers-storage:localhost/mayfly-e2e-nothing:1"):
            with daemon(config=POOLS.format(image=reference)) as d:
                job = d.ended(d.submit("true"))
                equal((job["state"], job["result"]["cause"]), ("failed", "image_unavailable"), reference)
                check("no such" in json.dumps(job["result"]), job)
                done = d.run("--", "true")
                equal(done.returncode, 125, done.stderr)
                check(reference.split(":", 1)[1].lstrip("/").split(":")[0].encode() in done.stderr, done.stderr)


if __name__ == "__main__":
    main()
