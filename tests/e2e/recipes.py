"""Recipes in a git repository, and `mayfly image build`: what the tests of building images share."""
import json
import shutil
import subprocess

from harness import Skip, check, equal


class Repository:
    """A git repository with one recipe, as somebody's checkout."""

    def __init__(self, folder):
        if not shutil.which("git"):
            raise Skip("git is not installed")
        self.folder = folder / "repo"
        self.folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.unique = folder.name

    def git(self, *argv, who="ann"):
        done = subprocess.run(["git", "-C", self.folder, "-c", f"user.name={who}", "-c", f"user.email={who}@team.example",
                               "-c", "commit.gpgsign=false", *argv], capture_output=True, text=True)
        equal(done.returncode, 0, argv, done.stderr)
        return done.stdout.strip()

    def write(self, recipe="tool", **files):
        place = self.folder / "images" / recipe
        place.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (place / name).write_text(text)

    def commit(self, message="a change", who="ann"):
        self.git("add", "-A")
        self.git("commit", "--quiet", "--allow-empty", "-m", message, who=who)
        return self.git("rev-parse", "HEAD")


def stored():
    listed = subprocess.run(["buildah", "images", "--json"], capture_output=True, text=True, check=True).stdout
    return {n for image in json.loads(listed or "[]") for n in image.get("names") or [] if ":build-" in n}


def discard_builds(before):
    if new := stored() - before:
        subprocess.run(["buildah", "rmi", "--force", *new], capture_output=True)


def build(d, *argv, image="tool"):
    """`mayfly image build`: the build as it ended or waits, and what was said."""
    done = d.cli("image", "build", image, "--json", *argv, timeout=900)
    check(done.stdout, done.stderr.decode(errors="replace"), d.said())
    return json.loads(done.stdout), done.stderr.decode(errors="replace"), done.returncode
