"""Registries for the end-to-end tests: docker-registry from Debian, and a way to it on which things go wrong."""
import contextlib
import hashlib
import http.client
import http.server
import shutil
import socket
import subprocess
import threading

from harness import Skip, busybox_image, check, wait_for


def skopeo(*argv):
    done = subprocess.run(["skopeo", *argv], capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"skopeo {' '.join(map(str, argv))}: {done.stderr}")
    return done.stdout.strip()


def digest_of(repository, tag, *options):
    raw = subprocess.run(["skopeo", "inspect", "--raw", *(options or ["--tls-verify=false"]), f"docker://{repository}:{tag}"],
                         capture_output=True)
    return "sha256:" + hashlib.sha256(raw.stdout).hexdigest() if raw.returncode == 0 else None


def make_key(folder):
    key, pub = folder / "key.pem", folder / "key.pub"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True, capture_output=True)
    key.chmod(0o600)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", pub], check=True, capture_output=True)
    return key, pub


@contextlib.contextmanager
def own_image(folder, number=1):
    """An image that is in containers-storage only while this runs, and has a digest that nothing else has."""
    name = f"localhost/mayfly-e2e-{folder.name.lower().replace('_', 'x')}:{number}"
    container = subprocess.check_output(["buildah", "from", busybox_image()], text=True).strip()
    try:
        (folder / "word").write_text(f"{folder.name} {number}\n")
        subprocess.run(["buildah", "copy", container, folder / "word", "/word"], check=True, capture_output=True)
        subprocess.run(["buildah", "config", "--env", f"NUMBER={number}", container], check=True, capture_output=True)
        subprocess.run(["buildah", "commit", container, name], check=True, capture_output=True)
    finally:
        subprocess.run(["buildah", "rm", container], capture_output=True)
    try:
        yield name
    finally:
        subprocess.run(["buildah", "rmi", "-f", name], capture_output=True)


class Registry:
    """docker-registry with a store in `folder` that outlives it: plain on the loopback, or with TLS and a password."""

    def __init__(self, folder, name="registry", host="127.0.0.1", certificate=None, password=None):
        program = shutil.which("docker-registry") or shutil.which("registry")
        if not program:
            raise Skip("docker-registry is not installed")
        with socket.socket() as s:
            s.bind((host, 0))
            self.address = f"{host}:{s.getsockname()[1]}"
        self.config, self.log, self.process, self.program = folder / f"{name}.yml", folder / f"{name}.log", None, program
        tls = f", tls: {{certificate: {certificate[0]}, key: {certificate[1]}}}" if certificate else ""
        auth = ""
        if password:
            (folder / f"{name}.users").write_text(f"robot:{bcrypt(password)}\n")
            auth = f"auth: {{htpasswd: {{realm: test, path: {folder}/{name}.users}}}}\n"
        self.config.write_text(f"version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {folder}/{name}}}}}\n"
                               f"http: {{addr: '{self.address}'{tls}}}\n{auth}")

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.program, "serve", self.config], stdout=log, stderr=log, cwd=self.config.parent)

        def answers():
            check(self.process.poll() is None, self.log.read_text()[-1000:])
            with contextlib.suppress(OSError), socket.create_connection(tuple(self.address.split(":")), 1):
                return True
        wait_for("the registry", answers)
        return self

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def push(self, image, name):
        skopeo("copy", "--quiet", "--dest-tls-verify=false", f"containers-storage:{image}", f"docker://{self.address}/{name}")
        return f"docker://{self.address}/{name}"

    def pulls(self, what="manifests"):
        return sum(f'"GET /v2/' in line and f"/{what}/" in line for line in self.log.read_text(errors="replace").splitlines())


def bcrypt(password):
    """As htpasswd -B would; by openssl's neighbour libcrypt, since neither tool nor module for it is always there."""
    import ctypes
    import ctypes.util
    import os
    lib = ctypes.CDLL(ctypes.util.find_library("crypt") or "libcrypt.so.1")
    lib.crypt.restype = ctypes.c_char_p
    alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    salt = "".join(alphabet[b % 64] for b in os.urandom(21)) + "."
    return lib.crypt(password.encode(), f"$2b$05${salt}".encode()).decode()


def self_signed(folder, host):
    """A certificate for this address and its key; the certificate is its own CA."""
    cert, key = folder / "tls.pem", folder / "tls.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=registry", "-addext", f"subjectAltName=IP:{host}", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key


def own_address():
    """An address of this host that is not the loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        with contextlib.suppress(OSError):
            s.connect(("192.0.2.1", 9))
            address = s.getsockname()[0]
            if not address.startswith("127."):
                return address
    raise Skip("this host has no address but the loopback")


class BadWay:
    """A proxy before a registry, at an address of its own. `fault` says what goes wrong: None, "refuse", "throttle", "hang",
    "cut" (the connection ends in the middle of the first layer's bytes) or "lie" (another manifest is answered).
    `seen` counts requests; `met` is set when the fault has happened."""

    def __init__(self, upstream):
        self.upstream, self.fault, self.seen, self.met = upstream, None, 0, threading.Event()
        self.over = threading.Event()
        way = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_any(self):
                way.seen += 1
                way.answer(self)

            do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def break_with(self, fault):
        self.met.clear()
        self.fault = fault

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()

    def drop(self, request):
        self.met.set()
        with contextlib.suppress(OSError):
            request.connection.shutdown(socket.SHUT_RDWR)
        request.close_connection = True

    def answer(self, request):
        fault, length = self.fault, int(request.headers.get("Content-Length") or 0)
        upload = request.command in ("PATCH", "PUT") and "/blobs/uploads/" in request.path
        if fault == "refuse":
            return self.drop(request)
        if fault == "hang":
            self.met.set()
            self.over.wait()
            return self.drop(request)
        if fault == "throttle":
            self.met.set()
            return self.say(request, 429, b'{"errors":[{"code":"TOOMANYREQUESTS"}]}', {"Content-Type": "application/json"})
        if fault == "cut" and upload:
            request.rfile.read(2000)
            return self.drop(request)
        body = self.body_of(request, length)
        status, headers, answer = self.ask(request, body)
        if fault == "lie" and request.command == "GET" and "/manifests/" in request.path and status == 200:
            self.met.set()
            answer += b" "
            headers = {k: v for k, v in headers.items() if k.lower() != "docker-content-digest"}
        self.say(request, status, answer, headers)

    @staticmethod
    def body_of(request, length):
        if request.headers.get("Transfer-Encoding") != "chunked":
            return request.rfile.read(length)
        body = b""
        while size := int(request.rfile.readline().split(b";")[0], 16):
            body += request.rfile.read(size)
            request.rfile.readline()
        request.rfile.readline()
        return body

    def ask(self, request, body):
        host, port = self.upstream.split(":")
        c = http.client.HTTPConnection(host, int(port), timeout=60)
        try:
            keep = {k: ", ".join(request.headers.get_all(k)) for k in request.headers.keys()
                    if k.lower() not in ("transfer-encoding", "content-length", "connection")}
            c.request(request.command, request.path, body, keep)  # with the caller's Host: locations lead back here
            r = c.getresponse()
            return r.status, dict(r.getheaders()), r.read()
        finally:
            c.close()

    @staticmethod
    def say(request, status, body, headers):
        request.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                request.send_header(name, value)
        length = headers.get("Content-Length", len(body)) if request.command == "HEAD" else len(body)
        request.send_header("Content-Length", length)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)
