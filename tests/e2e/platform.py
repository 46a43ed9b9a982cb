"""The real platform as a user has it: `klever up` in a process of its own, the commands of the installed package."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

__all__ = ["ADDER", "Platform", "Terminal", "at_a_terminal", "replicas", "tasks", "until"]

BIN = Path(sys.executable).parent
ADDER = {"inputs": [
    {"name": name, "datatype": "FP32", "shape": [1, 5], "data": [value] * 5} for name, value in (("X", 1), ("Y", 2))
]}  # fmt: skip
"""A request to the sample model, which adds: the answer is five times 3."""


def until(check: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Return the first true value of `check`; fails with its last value after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := check()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {value!r}"
        time.sleep(0.05)
    return value


class Terminal:
    """What somebody sees who runs a command at a terminal."""

    def __init__(self, process: subprocess.Popen[bytes], handle: int) -> None:
        self.process = process
        self._handle = handle
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._handle, text.encode())

    def read(self, wanted: str, seconds: float = 30.0) -> None:
        """Read on until a text is there; colours are left out."""
        deadline = time.monotonic() + seconds
        while wanted not in self.seen:
            ready, _, _ = select.select([self._handle], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"not within {seconds} s: {wanted!r} in {self.seen!r}"
            try:
                shown = os.read(self._handle, 65536).decode(errors="replace")
            except OSError as error:  # it has ended
                raise AssertionError(f"{wanted!r} is not in {self.seen!r}") from error
            self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


@contextmanager
def at_a_terminal(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Terminal]:
    """Run a command at a terminal, 200 columns wide."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (50, 200))
    process = subprocess.Popen(command, env={**environment, "TERM": "xterm"}, stdin=its, stdout=its, stderr=its)
    os.close(its)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


class Platform:
    """One data directory and one port; `start` and `kill` as often as a test wants."""

    def __init__(self, root: Path, flags: tuple[str, ...] = (), programs: Path = BIN) -> None:
        """`flags` are for `klever up`. `programs` is the directory of the commands."""
        self.root = root
        self.flags = flags
        self.prefix: tuple[str, ...] = ()
        """What starts its commands, for example as another user."""
        self.programs = programs
        self.data = root / "data"
        self.log = root / "up.log"
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port: int = sock.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {
            **os.environ,
            "XDG_CONFIG_HOME": str(root / "config"),
            "ROOTPATH": str(root / "ormb"),
            "KLEVER_DATA": str(self.data),
        }
        self.process: subprocess.Popen[str] | None = None
        self.metrics = ""
        """URL of its metrics, once it is up."""

    def start(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        with self.log.open("a") as log:
            self.process = self.begin("--port", str(self.port), log=log)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "klever is up" in line, line + self.log.read_text()
        self.metrics = line.partition("metrics at ")[2].strip(")\n")

    def begin(self, *flags: str, data: Path | None = None, log: IO[str] | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.prefix, str(self.programs / "klever"), "up", "--data", str(data or self.data), *self.flags, *flags],
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=log or subprocess.PIPE,
        )

    def end(self, how: signal.Signals = signal.SIGTERM) -> str:
        """Stop `klever up`. Return its output without the log lines of level INFO."""
        assert self.process is not None
        self.process.send_signal(how)
        self.process.communicate(timeout=60)
        lines = self.log.read_text().splitlines()
        return "\n".join(line for line in lines if '"level": "INFO"' not in line)

    def clean_up(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end()
        self.run("klever", "down", "--data", str(self.data), check=False)

    def run(
        self, *command: str, stdin: str | bytes = "", check: bool = True, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [*self.prefix, str(self.programs / command[0]), *command[1:]],
            env={**self.env, **environ},
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            timeout=90,
            check=False,
        )
        done = subprocess.CompletedProcess(command, ended.returncode, ended.stdout.decode(), ended.stderr.decode())
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def watched(self, *command: str) -> AbstractContextManager[Terminal]:
        """Run `klever` at a terminal."""
        return at_a_terminal([str(self.programs / "klever"), *command], self.env)

    def get(self, *what: str) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self.run("klever", "get", *what, "-o", "json").stdout)
        return result

    def push(self, reference: str, model: str = "onnx") -> str:
        """Save and push a sample model. Return what the push printed."""
        directory = self.root / f"model-{model}"
        if not directory.exists():
            shutil.copytree(Path(__file__).parents[1] / "data" / model, directory)
        self.run("ormb", "save", str(directory), reference)
        return self.run("ormb", "push", reference).stdout

    def infer(self, name: str, **headers: str) -> tuple[int, str]:
        """Post the adder's request; returns status and body."""
        path = f"/seldon/default/{name}/v2/models/{name}/infer"
        return self.http("POST", path, json.dumps(ADDER), **{"Content-Type": "application/json", **headers})

    def http(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str]:
        request = urllib.request.Request(self.url + path, body.encode() or None, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    @property
    def token(self) -> str:
        return (self.data / "token").read_text().strip()


def freeze(pid: int) -> None:
    """Send SIGSTOP, and return when no thread of the process runs any more."""
    os.kill(pid, signal.SIGSTOP)
    states = Path(f"/proc/{pid}/task")
    until(lambda: all(thread.read_text().rpartition(")")[2].split()[0] == "T" for thread in states.glob("*/stat")))


def replicas(platform: Platform) -> list[str]:
    """The Tritons that run for a platform, by pid."""
    return _running(platform, lambda command: command[0].endswith(b"tritonserver"))


def tasks(platform: Platform) -> list[str]:
    """The tasks of jobs that run for a platform, by pid."""
    return _running(platform, lambda command: b"klever.cmd.task" in command and not command[0].endswith(b"bwrap"))


def _running(platform: Platform, wanted: Callable[[list[bytes]], bool]) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if wanted(command) and str(platform.data).encode() in b"".join(command):
            found.append(process.name)
    return sorted(found)
