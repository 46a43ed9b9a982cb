"""The cost of authenticating inference at the gateway: `python bench/authentication.py`.

One Envoy has a listener for each way, all in front of an upstream that answers at once: no authentication, a literal
token in a route match, jwt_authn with the signature checked for each request and with Envoy's cache of tokens, and
ext_authz with Klever's access server. The ways take turns, and each figure is the median of the rounds.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

sys.path.pop(0)  # this directory, whose grpc.py is not the library
sys.path.append(str(Path(__file__).resolve().parents[1]))

from bench.load import Load, closed
from bench.machine import cpu
from klever.cmd.programs import envoy_binary

ROUNDS, SECONDS, CONNECTIONS = 5, 2.0, (8, 64)
TOKEN = "a-token-as-klever-makes-it-32-bytes"
KEY = bytes(range(32))
PATH = "/seldon/team/digits/v2/models/digits/infer"
_FILTERS = "type.googleapis.com/envoy.extensions.filters.http"
_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = {"name": "router", "typed_config": {"@type": f"{_FILTERS}.router.v3.Router"}}
_LITERAL = {
    "name": "authorization",
    "string_match": {"safe_regex": {"regex": f"[Bb][Ee][Aa][Rr][Ee][Rr] +{TOKEN}"}},
    "invert_match": True,
    "treat_missing_header_as_empty": True,
}


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def jwt() -> str:
    """Return a token signed by HMAC-SHA256, the fastest algorithm that Envoy verifies."""
    claims = {"iss": "klever", "sub": "owner", "exp": int(time.time()) + 86_400}
    parts = ({"alg": "HS256", "typ": "JWT", "kid": "1"}, claims)
    signed = ".".join(_encode(json.dumps(part).encode()) for part in parts)
    return f"{signed}.{_encode(hmac.digest(KEY, signed.encode(), hashlib.sha256))}"


def jwt_authn(cached: bool) -> dict[str, Any]:
    keys = {"keys": [{"kty": "oct", "kid": "1", "alg": "HS256", "k": _encode(KEY)}]}
    provider: dict[str, Any] = {"issuer": "klever", "local_jwks": {"inline_string": json.dumps(keys)}}
    if cached:
        provider["jwt_cache_config"] = {"jwt_cache_size": 1000}
    rule = {"match": {"prefix": "/"}, "requires": {"provider_name": "klever"}}
    message = f"{_FILTERS}.jwt_authn.v3.JwtAuthentication"
    return {"name": "jwt", "typed_config": {"@type": message, "providers": {"klever": provider}, "rules": [rule]}}


def ext_authz() -> dict[str, Any]:
    server = {"uri": "http://access", "cluster": "access", "timeout": "10s"}
    message = f"{_FILTERS}.ext_authz.v3.ExtAuthz"
    config = {"@type": message, "transport_api_version": "V3", "http_service": {"server_uri": server}}
    return {"name": "ext_authz", "typed_config": config}


def listener(name: str, address: dict[str, Any], routes: list[Any], *filters: dict[str, Any]) -> dict[str, Any]:
    manager = {
        "@type": f"type.googleapis.com/{_MANAGER}",
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
        "http_filters": [*filters, _ROUTER],
    }
    return {
        "name": name,
        "address": address,
        "filter_chains": [{"filters": [{"name": "manager", "typed_config": manager}]}],
    }


def configuration(directory: Path, ports: dict[str, int]) -> dict[str, Any]:
    passed = {"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}
    refused = {"match": {"prefix": "/", "headers": [_LITERAL]}, "direct_response": {"status": 401}}
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "{}"}}}
    ways: dict[str, tuple[list[Any], list[Any]]] = {
        "none": ([passed], []),
        "literal": ([refused, passed], []),
        "jwt_authn": ([passed], [jwt_authn(cached=False)]),
        "jwt_authn, cached": ([passed], [jwt_authn(cached=True)]),
        "ext_authz": ([passed], [ext_authz()]),
    }
    listeners = [listener("upstream", _pipe(directory / "upstream.sock"), [answer])]
    for name, (routes, filters) in ways.items():
        address = {"socket_address": {"address": "127.0.0.1", "port_value": ports[name]}}
        listeners.append(listener(name, address, routes, *filters))
    clusters = [_cluster(directory, name) for name in ("upstream", "access")]
    return {"static_resources": {"listeners": listeners, "clusters": clusters}}


def _cluster(directory: Path, name: str) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _pipe(directory / f"{name}.sock")}}
    load = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}
    return {"name": name, "type": "STATIC", "connect_timeout": "2s", "load_assignment": load}


def _pipe(path: Path) -> dict[str, Any]:
    return {"pipe": {"path": str(path)}}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def running(*command: str) -> Iterator[int]:
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


def measured(port: int, connections: int, token: str, pids: tuple[int, ...]) -> tuple[float, float, float]:
    """Requests a second, milliseconds of the 99th percentile, and of processor time for each request."""
    load, before, end = Load(), sum(map(cpu, pids)), time.monotonic() + SECONDS
    url, header = f"http://127.0.0.1:{port}{PATH}", f"Authorization: Bearer {token}\r\n"
    asyncio.run(closed(url, b"{}", connections, lambda: time.monotonic() > end, load, headers=header))
    assert not load.failed, load.failed[0]
    spent = sum(map(cpu, pids)) - before
    return len(load.seconds) / SECONDS, load.quantile(0.99), 1000 * spent / len(load.seconds)


def compared(ports: dict[str, int], pids: tuple[int, ...]) -> None:
    print("| connections | way | req/s | p99, ms | CPU a request, ms |\n|---|---|---|---|---|")
    for connections in CONNECTIONS:
        rounds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ports}
        for _ in range(ROUNDS):
            for name, seen in rounds.items():
                token = jwt() if name.startswith("jwt") else TOKEN
                seen.append(measured(ports[name], connections, token, pids))
        for name, seen in rounds.items():
            rate, p99, spent = (median(column) for column in zip(*seen, strict=True))
            print(f"| {connections} | {name} | {rate:.0f} | {p99:.1f} | {spent:.2f} |", flush=True)


def _wait(sockets: list[Path]) -> None:
    """Wait until the sockets are there; raises `RuntimeError` after 30 s."""
    deadline = time.monotonic() + 30
    while not all(path.exists() for path in sockets):
        if time.monotonic() > deadline:
            raise RuntimeError(f"not all of {', '.join(map(str, sockets))} appeared")
        time.sleep(0.1)  # no event tells of a socket's file


def main() -> None:
    ports = {way: _free_port() for way in ("none", "literal", "jwt_authn", "jwt_authn, cached", "ext_authz")}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "token").write_text(TOKEN)
        (directory / "envoy.json").write_text(json.dumps(configuration(directory, ports)))
        access = ("-m", "klever.cmd.access", str(directory / "access.sock"), str(directory / "token"))
        envoy = (str(envoy_binary()), "-c", str(directory / "envoy.json"), "--concurrency", "2", "-l", "error")
        with running(sys.executable, *access) as server, running(*envoy, "--disable-hot-restart") as gateway:
            _wait([directory / f"{name}.sock" for name in ("access", "upstream")])
            compared(ports, (server, gateway))


if __name__ == "__main__":
    main()
