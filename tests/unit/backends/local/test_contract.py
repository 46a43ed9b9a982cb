"""The local backend keeps the contract, with Triton and with a user's command."""

from __future__ import annotations

import os
import signal

import pytest

from klever.backends import Instance, PredictorWorkload
from tests.contract.backend import BackendContract
from tests.unit.backends.local import machine as local
from tests.unit.backends.local.machine import Machine

pytestmark = pytest.mark.triton


class Local(BackendContract):
    @pytest.fixture(autouse=True)
    def _machine(self, machine: Machine) -> None:
        self.machine = machine

    async def kill(self, instance: Instance) -> None:
        os.kill(self.machine.pid(instance), signal.SIGKILL)


class TestTriton(Local):
    def predictor(self) -> PredictorWorkload:
        return local.adder()

    async def ask(self, instance: Instance) -> str:
        return str(await local.infer(instance, [1.0, 2.0, 3.0, 4.0, 5.0]))


class TestCommand(Local):
    def predictor(self) -> PredictorWorkload:
        return local.command()

    async def ask(self, instance: Instance) -> str:
        return await local.get(instance)
