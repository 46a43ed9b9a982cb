"""The probe of a replica: one inference, or a connection where the server says of no path that it is healthy.

It runs in the Python of the server's image, with the standard library alone.
"""

import http.client
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_CHUNK = 64 << 10
_MAX_ANSWER = 64 << 10
_TIMEOUT_S = 60.0


def main(root: Path) -> int:
    """Return 0 if the server is healthy."""
    launch = json.loads((root / "launch.json").read_text())
    probe = launch["probe"]
    host, _, port = (probe["address"] or launch["http"]).rpartition(":")
    try:
        return _ask(host, int(port), probe)
    except OSError as error:
        print(f"{host}:{port}: {error}")
        return 1


def _ask(host: str, port: int, probe: dict[str, Any]) -> int:
    if not probe["path"]:
        socket.create_connection((host, port), _TIMEOUT_S).close()
        return 0
    body, zeros = probe["body"].encode("latin-1"), probe["zeros"]
    size = len(body) + zeros
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    headers = {**probe["headers"], **({"Content-Length": str(size)} if size else {})}
    connection.request(probe["method"], probe["path"], _chunks(body, zeros) if size else None, headers)
    response = connection.getresponse()
    answer = response.read(_MAX_ANSWER)
    if 200 <= response.status < 300:
        return 0
    text = answer.decode(errors="replace")
    print(f"HTTP {response.status} from {probe['path']}: {text[:500]}")
    return 0 if any(error in text for error in probe["own_errors"]) else 1


def _chunks(body: bytes, zeros: int) -> Iterator[bytes]:
    yield body
    for start in range(0, zeros, _CHUNK):
        yield bytes(min(_CHUNK, zeros - start))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
