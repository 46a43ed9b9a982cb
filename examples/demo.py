"""The main job, shown: from a model file to inference traffic with a canary. `make demo` runs it.

Its arguments are for `klever up`: `examples/demo.py --store kubernetes` keeps the objects in a cluster meanwhile.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

DIGITS = Path(__file__).parent / "digits"
BIN = Path(sys.executable).parent
REQUESTS = 500
UP_SECONDS = 60
STEP_SECONDS = 120
"""Each command has its own bound, which is shorter: this is for one that hangs."""
STOP_SECONDS = 60
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def shape(tensor: dict[str, Any]) -> str:
    """Return the shape of a tensor, with -1 for a dynamic dimension; empty if its rank is unknown."""
    return f"[{', '.join(map(str, tensor['shape']))}]" if "shape" in tensor else ""


class StepFailedError(Exception):
    """A step of the demo failed; the message says which and why."""


FAILURES = (StepFailedError, OSError, http.client.HTTPException, ValueError, LookupError)
"""What steps raise: the demo's own, and what an answer that is none amounts to."""


class StoppedError(Exception):
    """Somebody asked the demo to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class Demo:
    def __init__(self, root: Path, flags: list[str]) -> None:
        """`flags` are for `klever up`."""
        self.flags = flags
        self.data = root / "data"
        self.env = {**os.environ, "XDG_CONFIG_HOME": str(root / "config"), "ROOTPATH": str(root / "ormb")}
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port: int = sock.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.started = time.monotonic()
        self.platform: subprocess.Popen[bytes] | None = None

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.started:5.1f} s] {text}", flush=True)

    def run(self, *command: str, shown: bool = False) -> str:
        """Run a command and return its output; with `shown` a terminal shows its progress, and its errors at once."""
        try:
            done = subprocess.run(
                [str(BIN / command[0]), *command[1:]],
                env=self.env,
                text=True,
                stdout=subprocess.PIPE,
                stderr=None if shown and sys.stderr.isatty() else subprocess.PIPE,
                timeout=STEP_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise StepFailedError(f"{' '.join(command)} has not ended within {STEP_SECONDS} s") from error
        if done.returncode != 0:
            raise StepFailedError(f"{' '.join(command)}: {(done.stderr or 'see above').strip()}")
        return done.stdout

    def up(self) -> None:
        flags = ("--data", str(self.data), "--port", str(self.port), "--log-level", "WARNING", *self.flags)
        self.platform = subprocess.Popen([str(BIN / "klever"), "up", *flags], env=self.env, stdout=subprocess.PIPE)
        self.say("starting klever up")
        stdout = self.platform.stdout
        if stdout is None or b"klever is up" not in first_line(stdout.fileno()):
            raise StepFailedError(f"klever up did not start within {UP_SECONDS} s: see above, and klever doctor")
        self.say(f"klever up: {self.url}")

    def publish(self, version: str) -> None:
        reference = f"demo/digits:{version}"
        self.run("ormb", "save", str(DIGITS / version), reference)
        self.say(f"ormb save {reference}")
        self.run("ormb", "push", reference)
        self.say(f"ormb push {reference}")

    def show_extraction(self) -> None:
        deadline = time.monotonic() + STEP_SECONDS
        while not (jobs := json.loads(self.run("klever", "get", "modeljobs", "-n", "demo", "-o", "json"))["items"]):
            if time.monotonic() > deadline:
                raise StepFailedError(f"the push began no modeljob within {STEP_SECONDS} s")
        name = jobs[0]["metadata"]["name"]
        self.say(f"modeljob {name} started by itself")
        self.run("klever", "wait", "modeljob", name, "-n", "demo", "--for=condition=Complete", shown=True)
        version = json.loads(self.run("klever", "get", "version", "demo/digits:v1", "-o", "json"))
        for side in ("inputs", "outputs"):
            tensors = ", ".join(f"{t['name']} {t['dtype']}{shape(t)}" for t in version["signature"][side])
            self.say(f"it read the {side}: {tensors}")

    def deploy(self, *flags: str) -> None:
        begun = time.monotonic()
        self.say(f"klever deploy {' '.join(flags)}: waiting until it is Ready")
        self.run("klever", "deploy", *flags, "--name", "digits", "--wait", "--timeout", "60s", shown=True)
        self.say(f"klever deploy {' '.join(flags)}: Ready after {time.monotonic() - begun:.1f} s")

    def infer(self, pixels: list[float]) -> dict[str, list[float]]:
        body = {"inputs": [{"name": "pixels", "datatype": "FP32", "shape": [1, 64], "data": pixels}]}
        request = urllib.request.Request(
            f"{self.url}/seldon/default/digits/v2/models/digits/infer",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return {o["name"]: o["data"] for o in json.load(response)["outputs"]}

    def count_right(self, cases: list[Any]) -> None:
        right = sum(self.infer(case["pixels"])["label"][0] == case["label"] for case in cases)
        self.say(f"{right} of {len(cases)} real digits recognised")
        if right < len(cases) * 0.8:
            raise StepFailedError("too few of them: the answers are not the model's")

    def measure_split(self, pixels: list[float], stable: float) -> None:
        """Both versions answer under one name; they differ in the probabilities that they give."""
        answers = (self.infer(pixels)["probabilities"][0] for _ in range(REQUESTS))
        seen = Counter("main" if abs(answer - stable) < 1e-9 else "canary" for answer in answers)
        shares = ", ".join(f"{name} {100 * seen[name] / REQUESTS:.1f} %" for name in ("main", "canary"))
        self.say(f"traffic over {REQUESTS} requests: {shares} (80 and 20 wanted)")
        if not 10 < 100 * seen["canary"] / REQUESTS < 30:
            raise StepFailedError("the canary does not get its share")

    def delete_objects(self) -> None:
        """Leave none on a cluster, where they would outlive the platform."""
        jobs = json.loads(self.run("klever", "get", "modeljobs", "-A", "-o", "json"))["items"]
        read = (job["metadata"] for job in jobs if job["spec"]["model"].startswith("demo/digits"))
        own = [("serving", "digits", "default"), *(("modeljob", job["name"], job["namespace"]) for job in read)]
        for kind, name, namespace in own:
            self.run("klever", "delete", kind, name, "-n", namespace)
        for kind, name, namespace in own:
            self.run("klever", "wait", kind, name, "-n", namespace, "--for=delete")
        self.say("its objects are deleted")

    def show_urls(self) -> None:
        print(f"\n  inference  {self.url}/seldon/default/digits/v2/models/digits")
        print(f"  REST       {self.url}/api/v1alpha1/namespaces/default/servings")
        print(f"  registry   {self.url}/v2/\n")
        print(f"  grpcurl -plaintext 127.0.0.1:{self.port} list")
        print(f"  curl {self.url}/seldon/default/digits/v2/models/digits\n", flush=True)

    def stop(self) -> None:
        """Stop everything, whatever state it is in."""
        if self.platform is not None:
            self.platform.terminate()
            try:
                self.platform.communicate(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.platform.kill()
                self.platform.communicate()
        stopped = self.platform is not None and self.platform.returncode == 0
        if not stopped and self.data.is_dir():
            self.run("klever", "down", "--data", str(self.data))  # what it could not stop itself


def first_line(stdout: int) -> bytes:
    """Return what the platform says first; not all of it if it ends, or says nothing in time."""
    said, deadline = b"", time.monotonic() + UP_SECONDS
    while not said.endswith(b"\n"):
        if not select.select([stdout], [], [], max(deadline - time.monotonic(), 0))[0]:
            break
        more = os.read(stdout, 4096)
        if not more:
            break
        said += more
    return said


def show(demo: Demo) -> None:
    cases = json.loads((DIGITS / "inputs.json").read_text())
    demo.up()
    demo.publish("v1")
    demo.show_extraction()
    demo.deploy("demo/digits:v1")
    demo.count_right(cases)
    stable = demo.infer(cases[0]["pixels"])["probabilities"][0]
    demo.publish("v2")
    demo.deploy("demo/digits:v2", "--canary", "20")
    demo.measure_split(cases[0]["pixels"], stable)
    if not sys.stdout.isatty():
        demo.say("stopping: at a terminal it would stay up, and show its URLs")
    else:
        demo.show_urls()
        print("Ctrl-C stops it.")
        signal.signal(signal.SIGINT, lambda _number, _frame: None)  # as it should be ended: that is no failure
        signal.pause()
    if demo.flags:
        demo.delete_objects()


def main() -> int:
    for number in STOPPING:
        signal.signal(number, _stop)
    with tempfile.TemporaryDirectory(prefix="klever-demo-") as root:
        demo = Demo(Path(root), sys.argv[1:])
        code = 0
        try:
            try:
                show(demo)
            finally:
                for number in STOPPING:  # stopping is bounded, and leaves nothing behind only if it is whole
                    signal.signal(number, signal.SIG_IGN)
        except StoppedError as error:
            print(f"\n{error}", file=sys.stderr)
            code = 128 + error.number
        except FAILURES as error:
            print(f"the demo failed: {str(error) or type(error).__name__}", file=sys.stderr)
            code = 1
        try:
            demo.stop()
        except StepFailedError as error:
            print(f"not everything has stopped: {error}", file=sys.stderr)
            return 1
        demo.say("stopped")
    return code


def _stop(number: int, _frame: object) -> None:
    raise StoppedError(number)


if __name__ == "__main__":
    sys.exit(main())
