#!/usr/bin/env python3
"""docs/images.md followed literally: its first commands from an empty folder to a pool of the team's own, and every block of
configuration in it and in docs/publishing.md. Only the base image is another where the one in the guide cannot be fetched: the
same release of Debian, made from its packages."""
import os
import re
import shutil
import subprocess

from harness import MAYFLY, ROOT, Daemon, Scratch, Skip, case, check, equal, main, needs_containers, wait_for
from recipes import stored

BASE = "docker.io/library/debian:bookworm-slim"


def blocks(guide, kind):
    found = re.findall(rf"^```{kind}\n(.*?)^```", (ROOT / "docs" / guide).read_text(), re.S | re.M)
    check(found, guide, kind)
    return found


def base_image():
    if subprocess.run(["skopeo", "inspect", f"docker://{BASE}"], capture_output=True, timeout=60).returncode == 0:
        return BASE
    done = subprocess.run([ROOT / "tools/make-base-image"], capture_output=True, text=True)
    if done.returncode:
        raise Skip(f"no base image can be had: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout.strip()


class Guided(Daemon):
    """The daemon that the guide's own last command starts."""

    def __init__(self, folder, text, env):
        super().__init__(folder, config="pools: {}\n", env=env)
        self.text = text

    def start(self, wait=True, **env):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(["bash", "-euc", self.text.replace("mayfly up", "exec mayfly up")], cwd=self.folder / "empty",
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env)
        wait_for(lambda: "the daemon's answer; it said: " + self.said(), lambda: self.alive() and self.answers(), 60)
        return self


@case
def from_an_empty_folder_to_a_teams_own_pool():
    needs_containers()
    base = base_image()
    first, then, *_ = blocks("images.md", "sh")
    check(BASE in first and "mayfly up" in first.splitlines()[-1], first)
    commands = [line.split("#")[0].strip() for line in then.splitlines()]
    equal([c.split()[:3] for c in commands if c.startswith("mayfly image approve")], [["mayfly", "image", "approve"]])
    with Scratch() as folder:
        (folder / "bin").mkdir()
        (folder / "bin/mayfly").symlink_to(shutil.which(MAYFLY) or MAYFLY)
        (folder / "empty").mkdir()
        env = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "GIT_CONFIG_GLOBAL": f"{folder}/gitconfig"}
        (folder / "gitconfig").write_text("[user]\nname = Ann\nemail = ann@team.example\n")  # whoever commits has this
        before = stored()
        try:
            with Guided(folder, first.replace(BASE, base), env) as d:
                for command in commands:
                    done = subprocess.run(["bash", "-euc", command], cwd=folder, env=d.env, capture_output=True, text=True, timeout=600)
                    if done.returncode and re.search(r"Temporary failure|Could not connect|Failed to fetch", done.stdout + done.stderr):
                        raise Skip("Debian's mirrors cannot be reached")
                    equal(done.returncode, 0, command, done.stdout, done.stderr[-3000:], d.said())
                    if command.startswith("mayfly run"):
                        check("GNU Make" in done.stdout, done.stdout)
                check(any(c.startswith("mayfly run") for c in commands), "a job in the pool", commands)
                image = d.get("/v1/images/tool")
                equal([(v["version"], len(v["approved_by"])) for v in image["versions"]], [("1.0.0", 1)])
                equal(image["uses"][0]["pools"], ["tool"])
            equal(d.remains(), [])
        finally:
            if new := stored() - before:
                subprocess.run(["buildah", "rmi", "--force", *new], capture_output=True)


@case
def every_configuration_of_the_guides_is_right():
    with Scratch() as folder:
        for guide in ("images.md", "publishing.md", "rollouts.md"):
            for text in blocks(guide, "yaml"):
                if "\npools:" not in "\n" + text:
                    text += "pools: {p: {image: 'localhost/p:1'}}\n"
                for pool in re.findall(r"builder: ([a-z-]+)", text):
                    if f"\n  {pool}:\n    image" not in text:
                        text = text.replace("pools: {", f"pools: {{{pool}: {{image: 'localhost/b:1'}}, ")
                for name in set(re.findall(r"^release:\n  key: (\S+)", text, re.M)):
                    (folder / name).parent.mkdir(exist_ok=True)
                    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / name], check=True, capture_output=True)
                (folder / "mayfly.yaml").write_text(text)
                done = subprocess.run([MAYFLY, "config", "check", folder / "mayfly.yaml"], capture_output=True, text=True)
                equal(done.returncode, 0, guide, text, done.stdout, done.stderr)


main()
