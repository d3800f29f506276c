#!/usr/bin/env python3
"""Images that a Docker Engine elsewhere builds: a real dockerd on a unix socket, or podman's service where there is none."""
import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading

from harness import Daemon, Scratch, Skip, busybox_image, case, check, equal, main, needs_containers, wait_for
from recipes import Repository, build, discard_builds, stored

CONFIG = """\
images:
  tool:
    repository: repo
    recipe: images/tool
    docker: {{{where}}}
    args: {{WHAT: there}}
    try: ["test $(cat /word) = one", "test ! -e /all/ignored", "test -e /all/kept"]
pools:
  p: {{image: tool, network: none, builders: {{max: 2, memory: 256MiB, disk: 64MiB, pids: 128}}}}
"""
# Nothing runs while it is built: an engine without a network of its own, in a container perhaps, need not be able to.
DOCKERFILE = """\
FROM scratch
ARG WHAT=nobody
COPY root/ /
COPY word /word
COPY . /all/
ENV PATH=/bin WHAT=$WHAT
"""


@contextlib.contextmanager
def engine(folder):
    """A Docker Engine with all that it keeps in the folder; its socket."""
    at = folder / "docker.sock"
    if program := shutil.which("dockerd"):
        argv = [program, "--iptables=false", "--bridge=none", "--storage-driver=vfs", f"--host=unix://{at}", f"--data-root={folder}/data",
                f"--exec-root={folder}/exec", f"--pidfile={folder}/pid"]
    elif program := shutil.which("podman"):
        argv = [program, "--root", folder / "data", "--runroot", folder / "exec", "--storage-driver=vfs", "system", "service", "--time=0", f"unix://{at}"]
    else:
        raise Skip("neither dockerd nor podman is installed")
    log = open(folder / "engine.log", "wb")
    # In namespaces of its own, so that nothing of it outlives the test.
    process = subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *map(str, argv)], stdout=log, stderr=log)

    def answers():
        if process.poll() is not None:
            raise Skip("no Docker Engine runs here: " + (folder / "engine.log").read_text()[-300:])
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as s:
            s.connect(str(at))
            s.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b"200" in s.recv(100)
    try:
        wait_for(lambda: (folder / "engine.log").read_text()[-1000:], answers, 60)
        yield at
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        log.close()


class CutOnce:
    """A way to the engine on which the first build loses its connection in the middle of the answer."""

    def __init__(self, at, engine):
        self.engine, self.cut = engine, False
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(at))
        self.listener.listen(16)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self.engine))
                threading.Thread(target=self.pass_on, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self.pass_on, args=(server, client, True), daemon=True).start()

    def pass_on(self, a, b, answers):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                step = data.upper().find(b"STEP")  # podman writes it in capitals
                if answers and not self.cut and step >= 0:
                    self.cut = True
                    b.sendall(data[:step + 2])
                    break
                b.sendall(data)
        for s in (a, b):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def where(self):
        return f'url: "unix://{self.listener.getsockname()}"'

    def close(self):
        self.listener.close()


class Tls(CutOnce):
    """A way to the engine by TCP, for whoever has a certificate of its CA. `folder` has what Docker's own client is given."""

    def __init__(self, at, engine):
        self.engine, self.cut = engine, True
        self.folder = at.parent / "docker tls"
        self.folder.mkdir()
        self.issue("ca", None)
        self.issue("server", "ca", "subjectAltName=IP:127.0.0.1")
        self.issue("cert", "ca")
        (self.folder / "cert.key").rename(self.folder / "key.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        context.load_verify_locations(self.folder / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        self.listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        threading.Thread(target=self.accept, daemon=True).start()

    def issue(self, name, by, extension="basicConstraints=CA:TRUE"):
        """NAME.pem and NAME.key, signed by BY or by itself."""
        new = lambda suffix: str(self.folder / (name + suffix))
        signed = ["-CA", self.folder / f"{by}.pem", "-CAkey", self.folder / f"{by}.key"] if by else []
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                        "-addext", extension, *signed, "-keyout", new(".key"), "-out", new(".pem")], check=True, capture_output=True)

    def accept(self):
        while self.listener.fileno() >= 0:
            with contextlib.suppress(OSError):  # one that does not have the certificate
                client, _ = self.listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self.engine))
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self.pass_on, args=(*ends, False), daemon=True).start()

    def where(self, host="127.0.0.1"):
        return f'url: "tcp://{host}:{self.listener.getsockname()[1]}", certificates: "{self.folder}"'


@contextlib.contextmanager
def world(dockerfile=DOCKERFILE, way=None):
    needs_containers()
    if os.geteuid() != 0:
        raise Skip("an engine of one's own needs root")
    busybox_image()
    before = stored()
    with Scratch() as folder, engine(folder) as at:
        repository = Repository(folder)
        repository.write(**{"Dockerfile": dockerfile + f"LABEL test={repository.unique}\n", "word": "one\n", "kept": "x\n", "ignored": "x\n",
                            ".dockerignore": "ignored\nroot\n!root\n"})
        root = repository.folder / "images/tool/root"
        for part in ("bin", "etc", "root", "tmp", "proc", "sys", "dev"):
            (root / part).mkdir(parents=True)
            (root / part / ".keep").write_text("")
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        shutil.copy("/bin/busybox", root / "bin/busybox")
        for name in ("sh", "cat", "test"):
            (root / "bin" / name).symlink_to("busybox")
        repository.commit("the first")
        through = way(folder / "way.sock", at) if way else None
        try:
            where = through.where() if through else f'url: "unix://{folder / "way.sock" if way else at}"'
            with Daemon(folder, config=CONFIG.format(where=where)) as d:
                d.repository, d.engine, d.way = repository, at, through
                yield d
        finally:
            discard_builds(before)
            if through:
                through.close()


@case
def built_there_examined_tried_and_released_here():
    with world() as d:
        b, said, code = build(d)
        equal((b["state"], code), ("released", 0), said, b)
        check("STEP 1/" in said, "its progress is in the log", said)
        equal(b["version"], "1.0.0")
        check(d.job(b["try_job"])["image_digest"] == b["digest"], "the trial ran on what the engine built")
        d.repository.write(Dockerfile=DOCKERFILE + "COPY missing /missing\n")
        d.repository.commit("wrong")
        b, said, code = build(d)
        equal((b["state"], code), ("failed", 1), said, b)
        for text in ("Dockerfile at ", "> ", "COPY missing /missing"):
            check(text in b["problem"], text, b["problem"], said)


@case
def a_connection_lost_in_the_middle_is_said_and_tried_again():
    with world(way=CutOnce) as d:
        number = int(d.cli("image", "build", "tool", "--detach").stdout)
        get = lambda: d.get(f"/v1/builds/{number}")
        wait_for(lambda: (get(), d.said()), lambda: get()["state"] in ("released", "failed"), 90)
        equal(get()["state"], "released", get(), d.said())
        entries = d.get(f"/v1/ledger?subject=build/{number}")["entries"]
        delayed = [e for e in entries if e["kind"] == "build.delayed"]
        equal(len(delayed), 1, entries)
        check("lost" in str(delayed), delayed)


@case
def by_tls_with_a_certificate_and_not_without():
    with world(way=Tls) as d:
        b, said, code = build(d)
        equal((b["state"], code), ("released", 0), said, b, d.said())
        d.repository.write(word="two\n")
        d.repository.commit("the second")

        def problem(of):
            """What the next build says: it waits and is cancelled, or has failed."""
            number = int(d.cli("image", "build", "tool", "--detach").stdout)
            get = lambda: d.get(f"/v1/builds/{number}")
            wait_for(lambda: (of, get(), d.said()), lambda: get().get("problem"), 30)
            said = get()["problem"]
            d.cli("image", "cancel", str(number))
            check(of in said, of, said)

        good = d.way.folder
        d.way.folder = good.parent / "another CA"
        d.way.folder.mkdir()
        d.way.issue("ca", None)
        d.way.issue("cert", "ca")
        (d.way.folder / "cert.key").rename(d.way.folder / "key.pem")
        for file in ("cert.pem", "key.pem"):
            shutil.copy(good / file, good / f"{file}.good")
            shutil.copy(d.way.folder / file, good / file)
        hint = "its `certificates:` are right"  # a refusal may come as no more than a lost connection
        problem(hint)
        for file in ("cert.pem", "key.pem"):
            shutil.copy(good / f"{file}.good", good / file)
        shutil.copy(good / "ca.pem", good / "ca.good")
        shutil.copy(d.way.folder / "ca.pem", good / "ca.pem")
        problem(hint)
        (good / "key.pem").unlink()
        problem("key.pem")


@case
def nobody_there_is_a_clear_state():
    with world(way=lambda at, engine: None) as d:
        number = int(d.cli("image", "build", "tool", "--detach").stdout)
        get = lambda: d.get(f"/v1/builds/{number}")
        wait_for(get, lambda: "no Docker Engine answers" in get().get("problem", ""), 30)
        equal(get()["state"], "building")
        equal(d.cli("image", "cancel", str(number)).returncode, 0)
        equal(get()["state"], "cancelled")


if __name__ == "__main__":
    main()
