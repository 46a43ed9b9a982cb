"""What every backend promises; an implementation's test inherits `BackendContract` and gives its fixtures."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import pytest

from klever.backends import Backend, Instance, InstancePhase, PredictorWorkload, ServingKey, Workload
from klever.errors import NotFoundError

KEY = ServingKey("team", "adder")
OTHER = ServingKey("team-b", "adder")
FILES = ("adder.onnx",)


def workload(
    *predictors: PredictorWorkload,
    key: ServingKey = KEY,
    keep: frozenset[str] = frozenset(),
    after_the_old: bool = False,
) -> Workload:
    return Workload(key, "uid", predictors, keep, after_the_old=after_the_old)


async def until(
    backend: Backend, condition: Callable[[tuple[Instance, ...]], bool], *, key: ServingKey = KEY
) -> tuple[Instance, ...]:
    """Watch until the instances of a Serving fulfil the condition."""
    seen: tuple[Instance, ...] = ()
    try:
        async with asyncio.timeout(60):
            if condition(seen := await backend.observe(key)):
                return seen
            async for changed in backend.watch():
                if changed == key and condition(seen := await backend.observe(key)):
                    return seen
    except TimeoutError:
        pytest.fail(f"waited in vain; last seen: {seen}")
    raise AssertionError("a watch never ends by itself")


async def until_ready(backend: Backend, count: int, *, key: ServingKey = KEY) -> tuple[Instance, ...]:
    """Watch until exactly `count` instances are there, all Ready."""
    return await until(backend, lambda seen: len(seen) == count and all_ready(seen), key=key)


def all_ready(instances: tuple[Instance, ...]) -> bool:
    return all(instance.phase is InstancePhase.READY for instance in instances)


class BackendContract(ABC):
    """Tests get `backend`, started and empty, from a fixture of that name."""

    balances: ClassVar[bool] = False
    """Whether the replicas of a workload share an endpoint."""

    @abstractmethod
    def predictor(self) -> PredictorWorkload:
        """A predictor `main` of one replica that gets Ready."""

    @abstractmethod
    async def ask(self, instance: Instance) -> str:
        """Send an inference request to a Ready instance and return the body of its answer; raises if it fails."""

    @abstractmethod
    async def kill(self, instance: Instance) -> None:
        """End the replica's process behind the backend's back."""

    async def test_a_declared_replica_gets_ready_and_answers(self, backend: Backend) -> None:
        await backend.ensure(workload(self.predictor()))
        (instance,) = await until_ready(backend, 1)
        assert (instance.predictor, instance.workload) == ("main", self.predictor().id)
        assert instance.restarts == 0
        assert instance.started_at is not None
        assert await self.ask(instance)
        assert await backend.list() == (KEY,)

    async def test_a_rendering_is_what_would_run_and_runs_nothing(self, backend: Backend) -> None:
        rendering = await backend.render(KEY, self.predictor(), FILES)
        assert rendering.files
        instance = rendering.instance
        assert (instance.predictor, instance.workload) == ("main", self.predictor().id)
        assert (instance.phase, bool(instance.http)) == (InstancePhase.READY, True)
        assert await backend.list() == ()

    async def test_a_predictor_that_it_does_not_support_is_refused_by_its_fields(self, backend: Backend) -> None:
        assert backend.check(self.predictor()) == ()
        wrong = replace(self.predictor(), resources={"limits": {"cpu": "500m", "memory": "much"}})
        assert [violation.field for violation in backend.check(wrong)] == ["resources.limits.memory"]

    async def test_declaring_the_same_again_changes_nothing(self, backend: Backend) -> None:
        await backend.ensure(workload(self.predictor()))
        before = await until_ready(backend, 1)
        await asyncio.gather(*(backend.ensure(workload(self.predictor())) for _ in range(5)))
        assert await backend.observe(KEY) == before

    async def test_scaling_keeps_the_replicas_that_stay(self, backend: Backend) -> None:
        await backend.ensure(workload(self.predictor()))
        (first,) = await until_ready(backend, 1)
        await backend.ensure(workload(replace(self.predictor(), replicas=2)))
        two = await until_ready(backend, 2)
        assert first in two
        assert len({instance.http for instance in two}) == (1 if self.balances else 2)
        await backend.ensure(workload(self.predictor()))
        assert await until_ready(backend, 1) == (first,)
        await backend.ensure(workload(replace(self.predictor(), replicas=0)))
        assert await until_ready(backend, 0) == ()

    async def test_a_new_workload_runs_beside_the_one_that_is_kept(self, backend: Backend) -> None:
        old, new = self.predictor(), replace(self.predictor(), id="other")
        await backend.ensure(workload(old))
        (first,) = await until_ready(backend, 1)
        await backend.ensure(workload(new, keep=frozenset({old.id})))
        both = await until_ready(backend, 2)
        assert first in both
        for instance in both:
            assert await self.ask(instance)
        await backend.ensure(workload(new))
        (last,) = await until_ready(backend, 1)
        assert last.workload == "other"

    async def test_a_removed_serving_is_gone_and_may_come_back(self, backend: Backend) -> None:
        await backend.ensure(workload(self.predictor()))
        (instance,) = await until_ready(backend, 1)
        await backend.remove(KEY)
        assert await backend.observe(KEY) == ()
        assert await backend.list() == ()
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever a refused connection raises in `ask`
            await self.ask(instance)
        await backend.ensure(workload(self.predictor()))
        await until_ready(backend, 1)

    async def test_removing_what_is_not_there_is_no_error(self, backend: Backend) -> None:
        await backend.remove(KEY)
        assert await backend.observe(KEY) == ()
        assert await backend.list() == ()

    async def test_servings_of_one_name_in_two_namespaces_are_apart(self, backend: Backend) -> None:
        await backend.ensure(workload(self.predictor()))
        await backend.ensure(workload(self.predictor(), key=OTHER))
        (mine,) = await until_ready(backend, 1)
        (theirs,) = await until_ready(backend, 1, key=OTHER)
        assert mine.http != theirs.http
        await backend.remove(OTHER)
        assert await backend.observe(KEY) == (mine,)
        assert await backend.list() == (KEY,)

    async def test_a_killed_replica_says_why_and_comes_back(self, backend: Backend) -> None:
        await backend.ensure(workload(self.predictor()))
        (before,) = await until_ready(backend, 1)
        seen: list[Instance] = []

        def is_back(now: tuple[Instance, ...]) -> bool:
            seen.extend(now)
            return bool(now) and all_ready(now) and now[0] != before

        back = asyncio.create_task(until(backend, is_back))
        await self.kill(before)
        (after,) = await back
        assert after.restarts == 1
        assert await self.ask(after)
        assert any(one.phase is InstancePhase.BACK_OFF and "SIGKILL" in one.message for one in seen)

    async def test_logs_are_those_of_the_instance(self, backend: Backend) -> None:
        await backend.ensure(workload(self.predictor()))
        (instance,) = await until_ready(backend, 1)
        lines = [line async for line in backend.logs(KEY, instance.name, tail=2, follow=False)]
        assert 0 < len(lines) <= 2
        with pytest.raises(NotFoundError, match="no-such"):
            await anext(backend.logs(KEY, "no-such", tail=None, follow=False))

    async def test_an_unknown_runtime_fails_and_is_not_tried_again(self, backend: Backend) -> None:
        await backend.ensure(workload(replace(self.predictor(), runtime="abacus")))
        (instance,) = await until(backend, lambda seen: bool(seen) and seen[0].phase is InstancePhase.FAILED)
        assert "abacus" in instance.message
        assert instance.http == ""
