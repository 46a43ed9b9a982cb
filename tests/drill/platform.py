"""The drill on a real platform: real processes behind the gateway, under constant load."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench.load import Load, closed
from klever.client.rollout import Wish, changed_predictors
from tests.drill.steps import SETTINGS, TAGS, Action, Step, spec_of, steps
from tests.e2e.platform import Platform, until

__all__ = ["FLAGS", "Drill", "prepare"]

FLAGS: Final = ("--keep-serving",)
"""Flags of `klever up`: a restart of the control plane leaves the processes alone."""
NAMESPACE: Final = "team"
SETTLED_SECONDS: Final = 60.0
CLIENTS, PAUSE_SECONDS = 4, 0.01
PYTHON: Final = f"{sys.base_prefix}/bin/python3"
PREDICTOR: Final = {"command": [PYTHON, "-I", "-S", "$(MODEL_STORE)/$(SERVING_NAME)/server.py"]}
REFUSED: Final = (400, 404, 409)
"""Answers to a promotion without a canary, or to a rollback without an earlier revision."""


def prepare(platform: Platform) -> None:
    """Push the models of all drills, and allow their commands."""
    for tag in TAGS:
        directory = platform.root / tag
        (directory / "model").mkdir(parents=True)
        shutil.copy(Path(__file__).with_name("server.py"), directory / "model")
        (directory / "model" / "version.txt").write_text(tag)
        (directory / "ormbfile.yaml").write_text("format: Others\n")
        platform.run("ormb", "save", str(directory), f"team/digits:{tag}")
        platform.run("ormb", "push", f"team/digits:{tag}")
    platform.run("klever", "allow-code", NAMESPACE)


class Drill:
    """One seed: a Serving of its own on a platform that is shared."""

    def __init__(self, platform: Platform, seed: int) -> None:
        self.platform = platform
        self.name = f"drill{seed}"
        self.spec = spec_of(seed, PREDICTOR) | {"retries": 1, "revisionHistoryLimit": 20}
        self.seed = seed
        self.load = Load()
        self.lost: list[str] = []
        """Changes after which a field of the spec was no longer what it was."""
        self.log: list[str] = []
        self.crashes = 0
        """Replicas that were killed."""

    def run(self, count: int) -> None:
        """Run so many steps under load, then deploy a model without a canary, which must become Ready."""
        self.create()
        with self.under_load():
            for step in steps(self.seed, count):
                self.step(step)
            self.act("abort")  # the canary may name a model that does not exist
            self.deploy(TAGS[self.seed % len(TAGS)])
            self.settle()
            assert self.condition("Progressing")["reason"] == "Complete", self.log
            self.check_fields("the last deploy")
        self.delete()

    def create(self) -> None:
        """Create the Serving, and wait until it is Ready."""
        self.call("POST", "", {"metadata": {"name": self.name}, "spec": self.spec})
        self.spec = self.serving()["spec"]
        self.settle()

    def delete(self) -> None:
        self.call("DELETE", f"/{self.name}")

    def step(self, step: Step) -> None:
        started = time.monotonic()
        before = len(self.load.failed)
        actions = {
            Action.DEPLOY: lambda: self.deploy(_tag(step)),
            Action.BAD_TAG: lambda: self.deploy(_tag(step)),
            Action.CANARY: lambda: self.deploy(_tag(step), step.share),
            Action.PROMOTE: lambda: self.act("promote"),
            Action.ROLLBACK: lambda: self.act("rollback"),
            Action.CRASH: lambda: self.crash(step),
            Action.KILL: lambda: self.kill(step),
            Action.RESTART: lambda: self.end(signal.SIGTERM),
        }
        actions[step.action]()
        if step.settle:
            self.settle()
        self.check_fields(step.action)
        took, failed = time.monotonic() - started, self.load.failed[before:]
        self.log.append(f"{step.action} {step.model} {step.share} {took:.2f} s {failed[:1]}")

    def deploy(self, tag: str, canary: int | None = None) -> None:
        """Change what `klever deploy` changes, with the version that it read."""
        wish = Wish(f"team/digits:{tag}", "", canary=canary)

        def change() -> bool:
            serving = self.serving()
            metadata = {"resourceVersion": serving["metadata"]["resourceVersion"]}
            patch = {"metadata": metadata, "spec": {"predictors": changed_predictors(serving, wish)}}
            mask = "?updateMask=spec.predictors"
            return self.call("PATCH", f"/{self.name}{mask}", patch, allowed=(409,))[0] == 200

        until(change)

    def act(self, verb: str) -> None:
        self.call("POST", f"/{self.name}:{verb}", {}, allowed=REFUSED)

    def crash(self, step: Step) -> None:
        """Kill one of several Ready replicas of a workload that is not being replaced."""
        self.crash_all(self.victim(step))

    def kill(self, step: Step) -> None:
        """Kill the control plane, and some of the times a replica while nothing looks after it."""
        victim = [] if step.share else self.victim(step)
        self.platform.end(signal.SIGKILL)
        self.crash_all(victim)
        self.platform.start()

    def crash_all(self, pids: list[int]) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            self.crashes += 1

    def victim(self, step: Step) -> list[int]:
        """Return the process of one of several Ready replicas of a workload. Empty if there is none.

        A replica of an earlier step may be dead while its phase still is READY, so the processes count.
        """
        self.settle()
        instances = self.call("GET", f"/{self.name}/instances")[1].get("items", [])
        ready = [i for i in instances if i["phase"] == "READY" and self.processes(i)]
        several = [i for i in ready if [o["workload"] for o in ready].count(i["workload"]) > 1]
        if not several:
            return []
        (pid,) = self.processes(step.pick.choice(several))
        return [pid]

    def end(self, how: signal.Signals) -> None:
        self.platform.end(how)
        self.platform.start()

    def check_fields(self, when: str) -> None:
        spec = self.serving()["spec"]
        (main,) = [p for p in spec["predictors"] if p["name"] == "main"]
        wanted = {**SETTINGS, **PREDICTOR}
        if {field: main.get(field) for field in wanted} != wanted or _rest(spec) != _rest(self.spec):
            self.lost.append(f"{when}: {spec}")

    def settle(self) -> None:
        """Wait until the spec is rolled out, or waits for a model that does not exist."""
        deadline = time.monotonic() + SETTLED_SECONDS
        while not self.is_settled():
            assert time.monotonic() < deadline, (self.condition("Progressing"), self.log)
            time.sleep(0.05)

    def is_settled(self) -> bool:
        serving = self.serving()
        if serving.get("status", {}).get("observedGeneration") != serving["metadata"]["generation"]:
            return False
        progressing = self.condition("Progressing")
        return progressing["status"] == "False" or progressing["reason"] == "ModelNotFound"

    def condition(self, kind: str) -> dict[str, str]:
        found = self.serving().get("status", {}).get("conditions", [])
        return next((c for c in found if c["type"] == kind), {"status": "", "reason": ""})

    def serving(self) -> dict[str, Any]:
        return self.call("GET", f"/{self.name}")[1]

    def call(
        self, method: str, path: str, body: object = None, allowed: tuple[int, ...] = ()
    ) -> tuple[int, dict[str, Any]]:
        """Call the API; returns status and answer. Fails for an error that is not allowed."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.platform.token}"}
        text = "" if body is None else json.dumps(body)
        url = f"/api/v1alpha1/namespaces/{NAMESPACE}/servings{path}"
        status, answer = self.platform.http(method, url, text, **headers)
        assert status in (200, *allowed), (method, path, status, answer)
        return status, json.loads(answer)

    def processes(self, instance: dict[str, Any]) -> list[int]:
        index = instance["name"].rpartition("-")[2]
        store = f"serving.{NAMESPACE}.{self.name}.{instance['workload']}.{index}/replica/store/{self.name}/server.py"
        return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if _runs(path, store)]

    @contextmanager
    def under_load(self) -> Iterator[None]:
        stop = threading.Event()
        url = f"{self.platform.url}/seldon/{NAMESPACE}/{self.name}/predict"

        def drive() -> None:
            asyncio.run(closed(url, b"x", CLIENTS, stop.is_set, self.load, pause=PAUSE_SECONDS))

        client = threading.Thread(target=drive)
        client.start()
        try:
            yield
        finally:
            stop.set()
            client.join()


def _rest(spec: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in spec.items() if field != "predictors"}


def _runs(cmdline: Path, script: str) -> bool:
    try:
        program, *arguments = cmdline.read_bytes().split(b"\0")
    except OSError:  # it has ended
        return False
    return program.endswith(b"python3") and any(argument.endswith(script.encode()) for argument in arguments)


def _tag(step: Step) -> str:
    return step.model.rpartition(":")[2]
