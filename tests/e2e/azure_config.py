#!/usr/bin/env python3
"""Stands in for the vendor's config.sh, where the configured fallback has an agent register itself: signs in with the token
that it is given in its environment, makes a key, registers, and writes the three files that the agent reads."""
import argparse
import base64
import json
import os
import secrets
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent


def probably_prime(n):
    d, twos = n - 1, 0
    while d % 2 == 0:
        d, twos = d // 2, twos + 1
    for _ in range(16):
        x = pow(secrets.randbelow(n - 3) + 2, d, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def prime():
    small = [p for p in range(3, 2000, 2) if all(p % q for q in range(3, int(p ** 0.5) + 1, 2))]
    while True:
        n = secrets.randbits(1024) | 3 << 1022 | 1
        if n % 65537 != 1 and all(n % p for p in small) and probably_prime(n):
            return n


def main():
    arguments = argparse.ArgumentParser()
    for flag in ("unattended", "replace", "acceptTeeEula"):
        arguments.add_argument("--" + flag, action="store_true", required=True)
    for option in ("auth", "url", "pool", "agent", "work"):
        arguments.add_argument("--" + option, required=True)
    a = arguments.parse_args()
    assert a.auth == "pat", a.auth
    token = os.environ["VSTS_AGENT_INPUT_TOKEN"]

    def call(method, path, body=None):
        request = urllib.request.Request(f"{a.url}/_apis/distributedtask/pools{path}", json.dumps(body).encode() if body else None,
                                         method=method, headers={"Content-Type": "application/json", "Authorization": "Basic "
                                                                 + base64.b64encode(f":{token}".encode()).decode()})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read().decode("utf-8-sig"))

    p, q, e = prime(), prime(), 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    text = lambda n, size: base64.b64encode(n.to_bytes(size, "big")).decode()
    key = {"exponent": text(e, 3), "modulus": text(p * q, 256), "d": text(d, 256), "p": text(p, 128), "q": text(q, 128),
           "dp": text(d % (p - 1), 128), "dq": text(d % (q - 1), 128), "inverseQ": text(pow(q, -1, p), 128)}
    pool = call("GET", f"?poolName={urllib.parse.quote(a.pool)}&api-version=7.0")["value"][0]["id"]
    agent = call("POST", f"/{pool}/agents?api-version=7.0", {
        "name": a.agent, "version": "4.255.0", "osDescription": "Linux", "maxParallelism": 1,
        "systemCapabilities": {"Agent.OS": "Linux"},
        "authorization": {"publicKey": {k: key[k] for k in ("exponent", "modulus")}}})
    identity = agent["authorization"]
    (HERE / ".agent").write_text(json.dumps({"agentId": agent["id"], "agentName": a.agent, "poolId": pool, "serverUrl": a.url,
                                             "workFolder": a.work}))
    (HERE / ".credentials").write_text(json.dumps({"scheme": "OAuth", "data": {
        "clientId": identity["clientId"], "authorizationUrl": identity["authorizationUrl"],
        "oauthEndpointUrl": identity["authorizationUrl"]}}))
    (HERE / ".credentials_rsaparams").write_text(json.dumps(key))
    print("Settings Saved.")


main()
