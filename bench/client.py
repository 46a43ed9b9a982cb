"""The start of a Python client: `python bench/client.py`, on a server that it starts. Each round is a new process.

The first call is a list of Servings with a new connection; the first prediction is not among them.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

ROUNDS = 15
PROGRAM = """
import json, time
begun = time.perf_counter()
from klever import Client
imported = time.perf_counter()
list(Client().servings.list())
print(json.dumps([1000 * (imported - begun), 1000 * (time.perf_counter() - imported)]))
"""


def main() -> None:
    klever = Path(sys.executable).parent / "klever"
    with tempfile.TemporaryDirectory() as root, socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = str(sock.getsockname()[1])
        sock.close()
        environ = {**os.environ, "XDG_CONFIG_HOME": root}
        command: list[str | Path] = [klever, "up", "--data", f"{root}/data", "--port", port]
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
            assert server.stdout
            server.stdout.readline()
            program = [sys.executable, "-c", PROGRAM]
            rounds = [json.loads(subprocess.check_output(program, env=environ)) for _ in range(ROUNDS)]
            server.terminate()
    for name, times in zip(("import", "first call"), zip(*rounds, strict=True), strict=True):
        print(f"{name:12} median {median(times):6.0f} ms   least {min(times):6.0f} ms")


if __name__ == "__main__":
    main()
