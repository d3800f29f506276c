#!/usr/bin/env python3
"""Versions on their way to registries: real ones (Debian's docker-registry), plain, with TLS and a password, and behind a way
on which things go wrong. What arrived is read back with skopeo and checked with openssl, not with Mayfly alone."""
import base64
import contextlib
import hashlib
import json
import os
import subprocess

from harness import MAYFLY, Daemon, Scratch, busybox_image, case, check, equal, main, needs_containers, wait_for
from registries import BadWay, Registry, digest_of, make_key, own_address, self_signed, skopeo

CONFIG = """\
images:
  tool:
    recipe: {folder}/recipe
    publish: [{publish}]
    provides: [vi, compiler]
{more}
pools:
  p: {{image: {busybox}, network: none, builders: {{max: 2, memory: 128MiB, disk: 32MiB, pids: 64}}}}
"""
DPKG = "Package: {}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {}\n\n"


@contextlib.contextmanager
def place():
    """A folder with an (unused) recipe, in which registries and daemons live."""
    needs_containers()
    with Scratch() as folder:
        (folder / "recipe").mkdir()
        (folder / "recipe/Dockerfile").write_text("FROM scratch\n")
        yield folder


@contextlib.contextmanager
def image(folder, packages=(("compiler", "12.1"), ("lib", "3.0")), big=0):
    """An image with these Debian packages (so its database says), and `big` bytes that no registry has seen."""
    number = os.urandom(4).hex()
    name = f"localhost/mayfly-e2e-publish:{number}"
    run = lambda *a: subprocess.run(["buildah", *map(str, a)], check=True, capture_output=True, text=True).stdout.strip()
    status, payload = folder / f"status-{number}", folder / f"payload-{number}"
    status.write_text("".join(DPKG.format(*p) for p in packages))
    payload.write_bytes(os.urandom(big) + number.encode())
    (folder / "os-release").write_text("ID=debian\nVERSION_ID=12\n")
    container = run("from", busybox_image())
    try:
        run("copy", container, status, "/var/lib/dpkg/status")
        run("copy", container, folder / "os-release", "/etc/os-release")
        run("copy", container, payload, "/payload")
        run("commit", container, name)
    finally:
        run("rm", container)
    try:
        yield name
    finally:
        subprocess.run(["buildah", "rmi", "-f", name], capture_output=True)


def config(folder, *repositories, more=""):
    return CONFIG.format(folder=folder, publish=", ".join(repositories), busybox=busybox_image(), more=more)


@contextlib.contextmanager
def running(folder, *repositories, more="", **env):
    with Daemon(folder, config=config(folder, *repositories, more=more), env=env) as d:
        yield d


def release(d, image, *more):
    done = d.cli("image", "release", "tool", "--reference", image, "--json", *more)
    equal(done.returncode, 0, done.stderr, d.said())
    return json.loads(done.stdout)


def publications(d, version=None):
    return {p["repository"]: p for p in d.get("/v1/images/tool")["publications"] if version in (None, p["version"])}


def published(d, version, count=1, seconds=60):
    """Waits until the version is in so many registries."""
    there = lambda: sum(p["state"] == "published" for p in publications(d, version).values()) >= count
    wait_for(lambda: f"{version} in {count} registries: {publications(d, version)}; {d.said()}", there, seconds)
    return publications(d, version)


def channels_led(d, repository, version, *names):
    wait_for(lambda: f"{names} on {version}: {publications(d)}",
             lambda: set(names) <= set(publications(d, version)[repository]["channels"]))


def read_layers(folder, repository, tag):
    """The manifest of a tag, and the bytes of its layers."""
    into = folder / f"read-{os.urandom(4).hex()}"
    skopeo("copy", "--quiet", "--all", "--preserve-digests", "--src-tls-verify=false", f"docker://{repository}:{tag}", f"dir:{into}")
    manifest = json.loads((into / "manifest.json").read_text())
    return manifest, [(into / l["digest"].removeprefix("sha256:")).read_bytes() for l in manifest.get("layers", [])], into


@case
def one_digest_in_every_registry_and_its_channels():
    with place() as folder, image(folder) as one, image(folder) as two, Registry(folder, "a") as a, Registry(folder, "b") as b:
        repositories = [f"{a.address}/team/tool", f"{b.address}/tool"]
        with running(folder, *repositories) as d:
            first = release(d, one)
            equal(first["version"], "1.0.0")
            published(d, "1.0.0", 2)
            for r in repositories:
                for tag in ("1.0.0", "1.0", "1", "latest"):
                    equal(digest_of(r, tag), first["published_digest"], r, tag)
            second = release(d, two, "--level", "minor")
            equal(second["version"], "1.1.0")
            published(d, "1.1.0", 2)
            for r in repositories:
                channels_led(d, r, "1.1.0", "latest", "1", "1.1")
                equal([digest_of(r, t) for t in ("1.0.0", "1.0", "1", "latest", "1.1.0")],
                      [first["published_digest"]] * 2 + [second["published_digest"]] * 3, r)
            # Back to the earlier version: the channels follow, the versions' own tags stay.
            equal(d.cli("image", "rollback", "tool").returncode, 0)
            for r in repositories:
                channels_led(d, r, "1.0.0", "latest", "1")
                equal([digest_of(r, t) for t in ("1.1.0", "1", "latest")],
                      [second["published_digest"], first["published_digest"], first["published_digest"]], r)
            listed = d.cli("image", "list", "tool").stdout.decode()
            check("2/2" in listed, listed)
            kinds = [e["kind"] for e in d.get("/v1/ledger?subject=image/tool")["entries"]]
            check("image.packed" in kinds and kinds.count("image.published") >= 4, kinds)


@case
def what_is_in_it_and_where_it_came_from_travels_with_it_signed():
    with place() as folder, image(folder) as one, Registry(folder) as registry:
        key, pub = make_key(folder)
        repository = f"{registry.address}/tool"
        with running(folder, repository, more=f"release: {{key: {key}}}") as d:
            digest = release(d, one, "--commit", "c0ffee")["published_digest"]
            published(d, "1.0.0")
        tag = "sha256-" + digest.removeprefix("sha256:")
        # cosign's signature, with openssl.
        manifest, [payload], into = read_layers(folder, repository, tag + ".sig")
        equal(json.loads(payload)["critical"]["image"]["docker-manifest-digest"], digest)
        (into / "sig").write_bytes(base64.b64decode(manifest["layers"][0]["annotations"]["dev.cosignproject.cosign/signature"]))
        (into / "payload").write_bytes(payload)
        subprocess.run(["openssl", "dgst", "-sha256", "-verify", pub, "-signature", into / "sig", into / "payload"], check=True,
                       capture_output=True)
        # The attestations: DSSE envelopes over in-toto statements.
        statements = {}
        for envelope in map(json.loads, read_layers(folder, repository, tag + ".att")[1]):
            body = base64.b64decode(envelope["payload"])
            (into / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
            kind = envelope["payloadType"]
            (into / "pae").write_bytes(f"DSSEv1 {len(kind)} {kind} {len(body)} ".encode() + body)
            subprocess.run(["openssl", "dgst", "-sha256", "-verify", pub, "-signature", into / "sig", into / "pae"], check=True,
                           capture_output=True)
            statement = json.loads(body)
            equal(statement["subject"][0]["digest"]["sha256"], digest.removeprefix("sha256:"))
            statements[statement["predicateType"]] = statement["predicate"]
        provenance = statements["https://slsa.dev/provenance/v1"]["buildDefinition"]
        equal(provenance["resolvedDependencies"][0]["digest"], {"gitCommit": "c0ffee"})
        # OCI referrers: an index under the tag, of manifests whose subject is the image.
        index = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{repository}:{tag}"))
        equal(len(index["manifests"]), 2)
        found = {}
        for entry in index["manifests"]:
            raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{repository}@{entry['digest']}")
            manifest = json.loads(raw)
            equal(manifest["subject"]["digest"], digest)
            found[manifest["artifactType"]] = manifest
        layer = found["application/spdx+json"]["layers"][0]["digest"]
        sbom = json.loads(http_blob(registry.address, "tool", layer))
        equal(sbom, statements["https://spdx.dev/Document"])
        check_spdx(sbom)
        equal({(p["name"], p["versionInfo"]) for p in sbom["packages"]}, {("tool", "1.0.0"), ("compiler", "12.1"), ("lib", "3.0")})
        # And Mayfly's own command, with the right key and with another.
        verify = lambda ref, key: subprocess.run([MAYFLY, "image", "verify", ref, "--key", key], capture_output=True, text=True)
        for ref in (f"{repository}:1", f"docker://{repository}@{digest}"):
            done = verify(ref, pub)
            equal(done.returncode, 0, done.stderr)
            check("slsa.dev" in done.stdout and "spdx.dev" in done.stdout, done.stdout)
        (folder / "other").mkdir()
        done = verify(f"{repository}:1", make_key(folder / "other")[1])
        check(done.returncode != 0 and "no signature by this key" in done.stderr, done.stderr)


def http_blob(address, name, digest):
    import urllib.request
    with urllib.request.urlopen(f"http://{address}/v2/{name}/blobs/{digest}", timeout=10) as r:
        return r.read()


def check_spdx(document):
    """What SPDX 2.3's JSON schema asks of a document without files."""
    equal((document["spdxVersion"], document["dataLicense"], document["SPDXID"]), ("SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT"))
    check(document["name"] and document["documentNamespace"].startswith("https://") and "#" not in document["documentNamespace"])
    check(document["creationInfo"]["created"].endswith("Z") and document["creationInfo"]["creators"][0].startswith("Tool: "))
    ids = {p["SPDXID"] for p in document["packages"]} | {"SPDXRef-DOCUMENT"}
    equal(len(ids), len(document["packages"]) + 1, "an id twice")
    for p in document["packages"]:
        check(p["name"] and p["downloadLocation"] and p["externalRefs"][0]["referenceLocator"].startswith("pkg:"), p)
    for r in document["relationships"]:
        check(r["spdxElementId"] in ids and r["relatedSpdxElement"] in ids, r)


@case
def a_lost_package_or_tool_raises_the_version():
    full = (("compiler", "12.1"), ("lib", "3.0"))
    with place() as folder, Registry(folder) as registry, contextlib.ExitStack() as stack:
        made = lambda *packages: stack.enter_context(image(folder, packages))
        with running(folder, f"{registry.address}/tool") as d:
            steps = [(made(*full), "1.0.0"), (made(*full), "1.0.1"), (made(*full, ("more", "1")), "1.0.2"),
                     (made(*full), "1.1.0"), (made(("compiler", "12.1"), ("lib", "2.9")), "1.2.0"), (made(("lib", "3.0")), "2.0.0")]
            for reference, version in steps:
                equal(release(d, reference)["version"], version)
            equal(release(d, steps[-1][0])["version"], "2.0.0", "the same again is the same version")
            entries = [json.loads(e["detail"]) for e in d.get("/v1/ledger?subject=image/tool")["entries"] if e["kind"] == "image.packed"]
            equal([e["because"] for e in entries[3:]],
                  [["package more was removed"], ["package lib went back from 3.0 to 2.9"],
                   ["compiler is gone, which the image promises to provide", "package compiler was removed"]])
            published(d, "2.0.0")


@case
def faults_are_shown_and_got_over():
    with place() as folder, Registry(folder, "good") as good, Registry(folder, "far") as far, BadWay(far.address) as way:
        well, ill = f"{good.address}/tool", f"{way.address}/tool"
        with running(folder, well, ill, more="release: {patience: 2s}") as d:
            number = 0
            for fault, words in (("refuse", ("EOF", "reset", "closed")), ("hang", ("did not answer in time",)),
                                 ("cut", ("EOF", "reset", "broken pipe", "closed")), ("throttle", ("too many requests", "toomanyrequests", "did not answer in time")),
                                 ("lie", ("answers with",))):
                way.break_with(fault)
                with image(folder, big=300_000) as reference:
                    version = release(d, reference)["version"]
                    equal(version, f"1.0.{number}")
                    number += 1
                    failed = lambda: publications(d, version)[ill]["state"] == "failed"
                    wait_for(lambda: f"{fault} to be told: {publications(d, version)}", failed, 60)
                    p = publications(d, version)[ill]
                    check(any(w in p["problem"] for w in words), fault, p)
                    check(p["attempts"] >= 1 and p["next_try"] > 0 and ill in p["problem"], p)
                    check(way.met.is_set(), fault)
                    equal(p["channels"], [], "no channel leads to what was not verified")
                    listed = d.cli("image", "list", "tool").stdout.decode()
                    check(f"{version} is not in {ill}" in listed, listed)
                    published(d, version, 1)  # the other registry does not wait for this one
                    way.break_with(None)
                    equal(d.cli("image", "publish", "tool").returncode, 0)
                    published(d, version, 2, 90)
                    channels_led(d, ill, version, "latest", "1")
                    equal(digest_of(f"{far.address}/tool", "latest"), digest_of(well, "latest"), fault)


@case
def killed_in_the_middle_it_goes_on():
    with place() as folder, image(folder, big=3_000_000) as reference, Registry(folder, "good") as good, \
            Registry(folder, "far") as far, BadWay(far.address) as way:
        repositories = [f"{good.address}/tool", f"{way.address}/tool"]
        d = Daemon(folder, config=config(folder, *repositories, more="release: {patience: 30s}"))
        way.break_with("hang")
        with d:
            digest = release(d, reference)["published_digest"]
            published(d, "1.0.0", 1)
            check(way.met.wait(30), "nobody came to the second registry")
            equal(publications(d)[repositories[1]]["state"], "pending")
            d.kill()
            way.break_with(None)
            d.start()
            published(d, "1.0.0", 2)
            for r in (repositories[0], f"{far.address}/tool"):
                equal([digest_of(r, t) for t in ("1.0.0", "latest")], [digest] * 2, r)
            uploads = [line for line in good.log.read_text().splitlines() if '"PUT /v2/tool/blobs/uploads/' in line]
            layers = len({line.split("digest=")[1].split(" ")[0] for line in uploads})
            equal(len(uploads), layers, "what was there already was sent again")


@case
def killed_at_every_step_boundary_of_a_release():
    with place() as folder, image(folder) as reference, Registry(folder) as registry:
        for step in range(1, 60):
            repository, name = f"{registry.address}/tool-{step}", f"d{step}"
            d = Daemon(folder, config=config(folder, repository), name=name)
            try:
                d.start(wait=False, MAYFLY_CRASH_AT_STEP=str(step))
                with contextlib.suppress(AssertionError):
                    wait_for("the daemon", d.answers)
                d.cli("image", "release", "tool", "--reference", reference)
                survived = False
                with contextlib.suppress(AssertionError, OSError):
                    published(d, "1.0.0")
                    survived = True
                d.kill()
                d.start()
                check(len(d.get("/v1/images/tool")["versions"]) <= 1)
                digest = release(d, reference)["published_digest"]  # the client asks again
                equal([v["version"] for v in d.get("/v1/images/tool")["versions"]], ["1.0.0"], step)
                published(d, "1.0.0")
                equal([digest_of(repository, t) for t in ("1.0.0", "latest")], [digest] * 2, step)
                equal(d.stop(), 0)
            finally:
                d.kill()
            if survived:
                check(step > 8, "it was never killed within the release", step)
                return
        raise AssertionError("the daemon never came to its end without being killed")


@case
def tls_and_a_password():
    with place() as folder, image(folder) as reference:
        host = own_address()
        certificate = self_signed(folder, host)
        with Registry(folder, "safe", host, certificate, "wonder") as safe:
            repository = f"{safe.address}/tool"
            auth = folder / "auth.json"
            auth.write_text('{"auths": {}}')
            with running(folder, repository, SSL_CERT_FILE=str(certificate[0]), REGISTRY_AUTH_FILE=str(auth)) as d:
                digest = release(d, reference)["published_digest"]
                failed = lambda: publications(d)[repository]["state"] == "failed"
                wait_for(lambda: f"a refusal: {publications(d)}; {d.said()}", failed)
                problem = publications(d)[repository]["problem"]
                check("authentication required" in problem and "skopeo login" in problem, problem)
                auth.write_text(json.dumps({"auths": {safe.address: {"auth": base64.b64encode(b"robot:wonder").decode()}}}))
                equal(d.cli("image", "publish", "tool").returncode, 0)
                published(d, "1.0.0")
                check(b"wonder" not in d.log.read_bytes(), "the password is in the log")
            env = {**os.environ, "SSL_CERT_FILE": str(certificate[0]), "REGISTRY_AUTH_FILE": str(auth)}
            raw = subprocess.run(["skopeo", "inspect", "--raw", f"docker://{repository}:latest"], env=env, capture_output=True, check=True)
            equal("sha256:" + hashlib.sha256(raw.stdout).hexdigest(), digest)
            # Without the CA the connection is refused: TLS is not optional away from the loopback.
            with running(folder, repository + "2", REGISTRY_AUTH_FILE=str(auth)) as d:
                release(d, reference)
                wait_for(lambda: f"a refusal: {publications(d)}", lambda: publications(d)[repository + "2"]["state"] == "failed")
                check("certificate" in publications(d)[repository + "2"]["problem"], publications(d))


@case
def a_version_is_never_given_to_another_digest():
    with place() as folder, image(folder) as one, image(folder) as two, Registry(folder) as registry:
        repository = f"{registry.address}/tool"
        skopeo("copy", "--quiet", "--dest-tls-verify=false", f"containers-storage:{two}", f"docker://{repository}:1.0.0")
        before = digest_of(repository, "1.0.0")
        with running(folder, repository) as d:
            release(d, one)
            failed = lambda: publications(d)[repository]["state"] == "failed"
            wait_for(lambda: f"a conflict: {publications(d)}", failed)
            check("stands on" in publications(d)[repository]["problem"], publications(d))
        equal(digest_of(repository, "1.0.0"), before)
        equal(digest_of(repository, "latest"), None)


if __name__ == "__main__":
    main()
