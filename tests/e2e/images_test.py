#!/usr/bin/env python3
"""Where images come from: containers-storage, files, and a real registry on this host's loopback, over plain HTTP."""
import contextlib
import json
import subprocess

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
