#!/usr/bin/env python3
"""Stands in for the vendor's agent in a builder (as run.sh in its folder): reads the three files as that does, signs in
with its key, takes one job, says how it went. The job: a look around for what should not be there."""
import base64
import hashlib
import json
import os
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")


def number(text):
    return int.from_bytes(base64.b64decode(text), "big")


def sign(key, text):
    n, size = number(key["modulus"]), 256
    digest = SHA256_PREFIX + hashlib.sha256(text).digest()
    padded = b"\x00\x01" + b"\xff" * (size - 3 - len(digest)) + b"\x00" + digest
    p, q, m = number(key["p"]), number(key["q"]), int.from_bytes(padded, "big")
    # By the remainders, as .NET does: so each of the file's numbers is used.
    a, b = pow(m, number(key["dp"]), p), pow(m, number(key["dq"]), q)
    signature = b + q * (number(key["inverseQ"]) * (a - b) % p)
    assert signature == pow(m, number(key["d"]), n), "the key's numbers do not belong together"
    return signature.to_bytes(size, "big")


def base64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def call(method, url, body=None, token=None, form=False):
    data = urllib.parse.urlencode(body).encode() if form else json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, method=method, headers={
        "Content-Type": "application/x-www-form-urlencoded" if form else "application/json",
        **({"Authorization": f"Bearer {token}"} if token else {})})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read().decode("utf-8-sig") or "null")


def sign_in():
    key = json.loads((HERE / ".credentials_rsaparams").read_text())
    credentials = json.loads((HERE / ".credentials").read_text())
    assert credentials["scheme"] == "OAuth", credentials["scheme"]
    data, now = credentials["data"], int(time.time())
    header = base64url(json.dumps({"typ": "JWT", "alg": "RS256"}).encode())
    claims = base64url(json.dumps({"sub": data["clientId"], "iss": data["clientId"], "aud": data["authorizationUrl"],
                                   "nbf": now, "exp": now + 300, "jti": os.urandom(8).hex()}).encode())
    assertion = f"{header}.{claims}." + base64url(sign(key, f"{header}.{claims}".encode()))
    return call("POST", data["oauthEndpointUrl"], {
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion": assertion,
        "grant_type": "client_credentials"}, form=True)["access_token"]


def look_around():
    """All that a job could read of this builder: the environment and command line of each process, and every file that is not
    the image's own. Gives the names of variables that should be gone, and the text."""
    found, texts = [], []
    for process in Path("/proc").glob("[0-9]*"):
        for what in ("environ", "cmdline"):
            try:
                texts.append((process / what).read_bytes())
            except OSError:
                continue
            if what == "environ":
                names = [line.partition(b"=")[0].decode(errors="replace") for line in texts[-1].split(b"\0")]
                found += [f"{process}: {n}" for n in names if n.startswith(("MAYFLY_AZURE", "VSTS_AGENT"))]
    for place in ("/workspace", "/opt", "/tmp", "/run", "/etc", "/home", "/root", "/var", "/dev/shm"):
        for path in Path(place).rglob("*"):
            try:
                if path.is_file() and path.stat().st_size < 1 << 20:
                    texts.append(path.read_bytes())
            except OSError:
                continue
    return found, b"\n".join(texts).decode(errors="replace")


def main():
    assert sys.argv[1:] == ["--once"], sys.argv
    settings = json.loads((HERE / ".agent").read_text())
    base = settings["serverUrl"].rstrip("/") + f"/_apis/distributedtask/pools/{settings['poolId']}"
    token = sign_in()
    ignored = set(os.environ["VSO_AGENT_IGNORE"].split(","))
    capabilities = {k: v for k, v in os.environ.items() if k not in ignored} | {"Agent.Version": "4.255.0", "Agent.OS": "Linux"}
    session = call("POST", base + "/sessions", {"ownerName": os.uname().nodename, "systemCapabilities": capabilities,
                                                "agent": {"id": settings["agentId"], "name": settings["agentName"]}}, token)
    print("Listening for Jobs", flush=True)
    message = {}
    while "messageId" not in message:
        message = call("GET", f"{base}/messages?sessionId={session['sessionId']}", token=token)
    call("DELETE", f"{base}/messages/{message['messageId']}?sessionId={session['sessionId']}", token=token)
    job = json.loads(message["body"])
    print(f"Running job: {job['requestId']}", flush=True)
    found, text = look_around()
    assert ".credentials" in text and settings["agentName"] in text and "PATH=" in text, "this look around sees nothing"
    root = base[:base.index("/", len("http://"))]
    call("POST", root + "/_test/looked", {"agent": settings["agentId"], "text": text})
    print("found:", found, flush=True)
    time.sleep(job["seconds"])
    result = "failed" if found else "succeeded"
    server = settings["serverUrl"].rstrip("/")
    call("POST", f"{server}/p/_apis/distributedtask/hubs/build/plans/{job['plan']['planId']}/events",
         {"name": "JobCompleted", "jobId": job["jobId"], "requestId": job["requestId"], "result": result}, token)
    print(f"Job {job['requestId']} completed with result: {result}", flush=True)
    call("DELETE", f"{base}/sessions/{session['sessionId']}", token=token)


main()
