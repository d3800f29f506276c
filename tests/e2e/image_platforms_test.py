#!/usr/bin/env python3
"""One image for several architectures: an index, built where it needs no emulation, tried on this host's, published whole."""
import json
import pathlib
import platform
import shutil
import subprocess

from harness import Daemon, Scratch, Skip, busybox_image, case, check, equal, main, needs_containers, wait_for
from recipes import Repository, build, discard_builds, stored
from registries import Registry, digest_of, make_key, skopeo

HOST = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine())
OTHER = "arm64" if HOST == "amd64" else "amd64"
CONFIG = """\
images:
  tool:
    repository: repo
    recipe: images/tool
    platforms: [linux/amd64, linux/arm64]
    publish: [{address}/team/tool]
    try: ["test $(cat /made) = for-{host}"]
{more}
pools:
  p: {{image: tool@latest, network: none, builders: {{max: 2, memory: 256MiB, disk: 64MiB, pids: 128}}}}
release: {{key: key.pem}}
platforms: {{local: {{registries: ["{address}"]}}}}
"""
# What is compiled runs on the builder's own platform; the image itself runs nothing while it is built.
DOCKERFILE = """\
FROM --platform=$BUILDPLATFORM localhost/mayfly/test-busybox:1 AS build
ARG TARGETARCH
RUN echo for-$TARGETARCH >/made
FROM scratch
ARG TARGETARCH
ENV PATH=/bin
COPY root-${TARGETARCH}/ /
COPY --from=build /made /made
"""


class World:
    """A repository with a recipe for two architectures, a registry, and a daemon."""

    def __init__(self, dockerfile=DOCKERFILE, more=""):
        self.dockerfile, self.more = dockerfile, more

    def __enter__(self):
        needs_containers()
        busybox_image()
        if not HOST:
            raise Skip(f"no recipe for {platform.machine()} here")
        self.before = stored()
        self.scratch = Scratch()
        self.folder = self.scratch.__enter__()
        make_key(self.folder)
        self.repository = Repository(self.folder)
        self.repository.write(Dockerfile=self.dockerfile + f"LABEL test={self.repository.unique}\n")
        for arch in (HOST, OTHER):
            root = self.repository.folder / f"images/tool/root-{arch}"
            for part in ("bin", "etc", "root", "tmp", "proc", "sys", "dev"):
                (root / part).mkdir(parents=True)
                (root / part / ".keep").write_text("")
            (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
            (root / "etc/os-release").write_text("ID=test\n")
            (root / "word").write_text(arch + "\n")
        shutil.copy("/bin/busybox", self.repository.folder / f"images/tool/root-{HOST}/bin/busybox")
        for name in ("sh", "cat", "test"):
            (self.repository.folder / f"images/tool/root-{HOST}/bin/{name}").symlink_to("busybox")
        self.repository.commit("for two architectures")
        self.registry = Registry(self.folder).start()
        config = CONFIG.format(address=self.registry.address, host=HOST, more=self.more)
        self.daemon = Daemon(self.folder, config=config)
        self.daemon.__enter__()
        return self

    def __exit__(self, *why):
        try:
            self.daemon.__exit__(*why)
        finally:
            self.registry.stop()
            discard_builds(self.before)
            self.scratch.__exit__(*why)


@case
def an_index_is_built_tried_published_and_run():
    with World() as w:
        d = w.daemon
        b, said, code = build(d)
        equal((b["state"], code), ("released", 0), said, b)
        repository = f"{w.registry.address}/team/tool"
        wait_for(lambda: d.get("/v1/images/tool")["publications"],
                 lambda: all(p["state"] == "published" for p in d.get("/v1/images/tool")["publications"]), 60)
        version = d.get("/v1/images/tool")["versions"][0]
        digest = version["published_digest"]
        equal(digest_of(repository, "1.0.0"), digest)
        raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{repository}:1.0.0")
        index = json.loads(raw)
        equal([m["platform"]["architecture"] for m in index["manifests"]], ["amd64", "arm64"])
        for m in index["manifests"]:
            arch = m["platform"]["architecture"]
            into = w.folder / arch
            skopeo("copy", "--quiet", "--src-tls-verify=false", "--preserve-digests", f"docker://{repository}@{m['digest']}", f"oci:{into}:x")
            unpacked = subprocess.check_output(["sh", "-c", f"for b in {into}/blobs/sha256/*; do (zstd -dcq $b 2>/dev/null || true) | tar -xO -f - word made 2>/dev/null; done; true"], text=True)
            equal(sorted(unpacked.split()), sorted([arch, f"for-{arch}"]), "each has its own files")
            tag = "sha256-" + m["digest"].removeprefix("sha256:")
            referrers = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{repository}:{tag}"))
            equal(len(referrers["manifests"]), 2, "an SBOM and a provenance of its own")
            for r in referrers["manifests"]:
                about = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{repository}@{r['digest']}"))
                equal(about["subject"]["digest"], m["digest"])
            check(digest_of(repository, tag + ".sig"), "it is signed")
        done = d.cli("image", "verify", f"{repository}:1.0.0", "--key", w.folder / "key.pub")
        equal(done.returncode, 0, done.stderr)
        ran = d.cli("run", "--pool", "p", "--", "cat", "/word")
        equal((ran.returncode, ran.stdout), (0, f"{HOST}\n".encode()), ran.stderr, d.said())
        again, said, _ = build(d, "--again")
        equal((again["state"], again["digest"]), ("unchanged", b["digest"]), said, "the index, too, is made of the recipe alone")


@case
def a_platform_that_cannot_be_run_here_is_refused_with_what_to_do():
    if any(pathlib.Path("/proc/sys/fs/binfmt_misc").glob(f"qemu-{'aarch64' if OTHER == 'arm64' else 'x86_64'}*")):
        raise Skip("this host runs the other architecture's programs, too")
    with World(dockerfile=DOCKERFILE + "RUN cat /word\n") as w:
        b, said, code = build(w.daemon)
        equal((b["state"], code), ("failed", 1), said)
        for text in (f"runs programs of linux/{OTHER}", "RUN cat /word", "qemu-user-static", "--platform=$BUILDPLATFORM"):
            check(text in b["problem"], text, b["problem"])


@case
def a_base_of_another_architecture_is_not_taken_for_it():
    with World(dockerfile="FROM localhost/mayfly/test-busybox:1\nCOPY root-amd64/word /word\n") as w:
        b, said, code = build(w.daemon)
        equal((b["state"], code), ("failed", 1), said, b)
        check("not for the platform" in b["problem"], b["problem"], said)
        equal(w.daemon.get("/v1/images/tool")["versions"], [])


if __name__ == "__main__":
    main()
