#!/usr/bin/env python3
"""A base image in a registry that becomes another one: the image built FROM it follows by itself, once."""
import json

from harness import Daemon, Scratch, case, check, equal, main, needs_containers, wait_for
from recipes import Repository, build, discard_builds, stored
from registries import Registry, digest_of, own_image

CONFIG = """\
images:
  tool:
    repository: repo
    recipe: images/tool
    args: {{TAG: "1"}}
    try: ["test -s /word && test $(cat /copied) = yes"]
    publish: ["{address}/team/tool"]
    watch_base: 1s
pools:
  p:
    image: tool
    network: none
    builders: {{max: 2, memory: 256MiB, disk: 64MiB, pids: 128}}
"""
DOCKERFILE = """\
ARG TAG=nothing
FROM {address}/team/base:$TAG AS first
RUN test -s /word && echo yes >/copied
FROM {address}/team/base:1
COPY --from=first /copied /copied
"""


def builds(d):
    return d.get("/v1/builds?image=tool")["builds"]


def looked(registry, repository="team/base"):
    """How often somebody has asked for this base's manifest."""
    return registry.log.read_text(errors="replace").count(f'"GET /v2/{repository}/manifests/')


def after_some_looks(d, registry, more=3):
    """The builds there are once the daemon has asked several times more."""
    before = looked(registry)
    wait_for(lambda: f"further looks at the base: {d.said()}", lambda: looked(registry) >= before + more)
    return builds(d)


@case
def a_changed_base_is_built_on_released_published_and_followed_once():
    needs_containers()
    before = stored()
    with Scratch() as folder, own_image(folder) as one, own_image(folder, 2) as two, Registry(folder) as registry:
        repository, base = Repository(folder), f"{registry.address}/team/base"
        repository.write(Dockerfile=DOCKERFILE.format(address=registry.address))
        repository.commit("the first")
        registry.push(one, "team/base:1")
        old = digest_of(base, "1")
        try:
            with Daemon(folder, config=CONFIG.format(address=registry.address)) as d:
                first, said, _ = build(d)
                equal((first["state"], first["version"]), ("released", "1.0.0"), said)
                equal(first["registry_bases"], {f"{base}:1": old})
                equal(len(after_some_looks(d, registry)), 1)

                d.kill()  # it becomes another one while no daemon is there
                registry.push(two, "team/base:1")
                new = digest_of(base, "1")
                check(new != old)
                d.start()
                followed = wait_for(lambda: f"a build on the new base: {builds(d)}; {d.said()}",
                                    lambda: (b := builds(d)[0])["state"] == "released" and b["id"] > first["id"] and b, 90)
                equal((followed["trigger"], followed["version"], followed["commit"]), ("base", "1.0.1", first["commit"]))
                equal(followed["reason"], f"base image {base}:1 changed: {old[:19]} -> {new[:19]}")
                check(followed["reason"].encode() in d.cli("image", "builds").stdout)
                requested = d.get(f"/v1/ledger?subject=build/{followed['id']}")["entries"][0]
                equal(json.loads(requested["detail"])["why"], followed["reason"])

                version = d.get("/v1/images/tool")["versions"][0]
                equal(version["bases"], {f"{base}:1": new})
                place = f"{registry.address}/team/tool"
                wait_for(lambda: f"the new version in the registry: {d.get('/v1/images/tool')}",
                         lambda: digest_of(place, "latest") and digest_of(place, "latest") == digest_of(place, "1.0.1"))
                wait_for(lambda: f"the pool to move: {d.get('/v1/rollouts')}", lambda: "1.0.1" in json.dumps(d.get("/v1/rollouts")))

                d.stop()
                d.start()
                equal(len(after_some_looks(d, registry)), 2, "the same base is built on once")

                registry.stop()
                noted = wait_for("the registry's silence to be shown", lambda: d.get("/v1/images/tool")["base_note"])
                check("not known" in noted, noted)
                check(b"not known" in d.cli("image", "list").stdout)
                registry.start()
                wait_for("the registry's answer to be seen", lambda: not d.get("/v1/images/tool")["base_note"])
                equal(len(builds(d)), 2)
            equal(d.remains(), [])
        finally:
            discard_builds(before)


if __name__ == "__main__":
    main()
