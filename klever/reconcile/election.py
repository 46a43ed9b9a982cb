"""Leader election with a Lease (client-go: tools/leaderelection): only one of several processes works.

A lease has expired if it has not changed for its duration by the local clock; clocks of machines are never compared.
Candidates take turns at one place, which the Lease names: a candidate elsewhere could not adopt the processes there.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from klever.api.kinds import NAMESPACE
from klever.errors import (
    AlreadyExistsError,
    ConflictError,
    FailedPreconditionError,
    KleverError,
    NotFoundError,
    UnavailableError,
)
from klever.kube.client import KubeClient

__all__ = ["Election"]

log = logging.getLogger(__name__)

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
_PLACE = "kleveross.io/data"
"""The annotation of the Lease with the place of its holder."""
_REPEAT_SECONDS = 60.0
"""A repeated failure is logged at most once in this time."""


class Election:
    """One candidate. `duration`, `deadline` and `retry` in seconds: 15, 10 and 2 as in Kubernetes' own controllers.

    `place` names its data directory, for people.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        place: str,
        duration: float = 15.0,
        deadline: float = 10.0,
        retry: float = 2.0,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self.identity = identity
        self._place = place
        self._duration = duration
        self._deadline = deadline
        self._retry = retry
        self._seen: tuple[str, float] = ("", 0.0)
        """The lease's last version, and the time at which it was first seen."""
        self._renewed = float("-inf")
        """The start of the last write that acquired or renewed the lease, which is held at least since then."""
        self._said: tuple[str, float] = ("", float("-inf"))
        """The last logged message and its time."""
        self.holder = ""
        """The last known leader."""

    def leads(self) -> bool:
        """Whether this process certainly holds the lease at this moment."""
        return time.monotonic() < self._renewed + self._deadline

    async def check(self) -> None:
        """Raise `FailedPreconditionError` if a live candidate at another place holds the lease.

        Also raises the errors that acquiring it would raise later, such as a missing right or namespace.
        """
        first = lease = await self._found()
        ends = time.monotonic() + self._duration
        while self._is_elsewhere(lease) and time.monotonic() < ends:
            if lease["spec"].get("renewTime") != first["spec"].get("renewTime"):
                raise self._refusal(lease)
            await asyncio.sleep(self._retry / 2)  # a live holder renews it meanwhile
            lease = await self._found()

    async def acquire(self) -> None:
        """Return once this candidate is the leader."""
        while not await self._attempt(self._take, self._deadline):  # noqa: ASYNC110 - what is waited for is elsewhere
            await asyncio.sleep(self._retry * random.uniform(1.0, 1.2))  # noqa: S311 - spreads candidates

    async def hold(self) -> None:
        """Renew the lease until that fails. Raises `UnavailableError` when this candidate is no longer the leader."""
        while True:
            await asyncio.sleep(self._retry)
            if self.leads():  # otherwise another candidate may have led meanwhile
                await self._attempt(self._renew, self._renewed + self._deadline - time.monotonic())
            if not self.leads():
                self._renewed = float("-inf")
                raise UnavailableError(f"{self.identity} is no longer the leader: {self._why()}")

    async def release(self) -> None:
        """Release the lease, so that another candidate need not wait for its expiry."""
        if not self.leads():
            return
        self._renewed = float("-inf")
        try:
            lease = await self._read()
            if lease["spec"].get("holderIdentity") == self.identity:
                free = {"holderIdentity": "", "leaseDurationSeconds": 1}
                await self._write(_version(lease), free, self._deadline)
        except KleverError as error:
            log.warning("failed to release the lease %s: %s", self._name, error)

    async def _attempt(self, claim: Callable[[], Awaitable[bool]], seconds: float) -> bool:
        """Return whether the lease was claimed within this time."""
        try:
            async with asyncio.timeout(seconds):
                claimed = await claim()
        except (KleverError, TimeoutError) as error:
            self._say(str(error) or f"no answer within {seconds:.1f} s")
            return False
        if not claimed:
            self._renewed = float("-inf")
        return claimed

    async def _take(self) -> bool:
        """Acquire the lease if it is free or expired."""
        lease = await self._found()
        spec = lease["spec"]
        version = _version(lease)
        self.holder = spec.get("holderIdentity") or ""
        if version != self._seen[0]:
            self._seen = (version, time.monotonic())
        mine = self.holder == self.identity
        if self.holder and not mine and time.monotonic() < self._seen[1] + self._duration:
            return False
        taken = {"acquireTime": _now(), "leaseTransitions": spec.get("leaseTransitions", 0) + 1}
        try:
            await self._claim(version, {} if mine else taken)
        except ConflictError:
            return False
        self.holder = self.identity
        return True

    async def _renew(self) -> bool:
        """Renew the lease with one write against its last known version, which also works with a slow server.

        After a conflict, read the lease: another client wrote it, or the response to our last write was lost. If
        another candidate has held it, do not acquire it again, even if it is free, because that candidate may have
        acted.
        """
        try:
            await self._claim(self._seen[0], {})
        except (ConflictError, NotFoundError):
            lease = await self._found()
            self.holder = lease["spec"].get("holderIdentity") or ""
            if self.holder != self.identity:
                return False
            await self._claim(_version(lease), {})
        return True

    async def _claim(self, version: str, further: dict[str, Any]) -> None:
        """Write this process as the holder, and `further` fields. Raises `ConflictError` if the version has changed."""
        began = time.monotonic()
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(self._duration),
            "renewTime": _now(),
            **further,
        }
        # A server that does not answer leaves time for another attempt.
        written = await self._write(version, spec, self._deadline / 2)
        self._renewed = began
        self._seen = (_version(written), time.monotonic())

    async def _found(self) -> dict[str, Any]:
        """Return the lease. If it does not exist, create one without a holder."""
        try:
            return await self._read()
        except NotFoundError:
            pass
        metadata = {"name": self._name, "namespace": self._namespace}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": {}}
        try:
            return await self._created(lease)
        except NotFoundError:
            with suppress(AlreadyExistsError):
                await self._client.create(NAMESPACE, {"metadata": {"name": self._namespace}})
            return await self._created(lease)

    async def _created(self, lease: dict[str, Any]) -> dict[str, Any]:
        try:
            created: dict[str, Any] = await self._client.raw("POST", self._collection(), body=lease)
        except AlreadyExistsError:
            return await self._read()
        return created

    async def _read(self) -> dict[str, Any]:
        lease: dict[str, Any] = await self._client.raw("GET", f"{self._collection()}/{self._name}")
        return lease

    async def _write(self, version: str, spec: dict[str, Any], seconds: float) -> dict[str, Any]:
        metadata = {"resourceVersion": version, "annotations": {_PLACE: self._place}}
        lease: dict[str, Any] = await self._client.raw(
            "PATCH",
            f"{self._collection()}/{self._name}",
            body={"metadata": metadata, "spec": spec},
            content_type="application/merge-patch+json",
            deadline=seconds,
        )
        return lease

    def _is_elsewhere(self, lease: dict[str, Any]) -> bool:
        """Whether a candidate at another place holds the lease. False if it names no place."""
        place = lease["metadata"].get("annotations", {}).get(_PLACE, self._place)
        return bool(lease["spec"].get("holderIdentity")) and place != self._place

    def _refusal(self, lease: dict[str, Any]) -> FailedPreconditionError:
        place, holder = lease["metadata"]["annotations"][_PLACE], lease["spec"]["holderIdentity"]
        return FailedPreconditionError(
            f"{holder} already works on the objects of this cluster with the data directory {place}, and only one "
            f"data directory can be used at a time: stop it first, or share its data directory",
            reason="WORKED_ON_ELSEWHERE",
        )

    def _why(self) -> str:
        if self.holder == self.identity:
            return f"the lease was not renewed for {self._deadline:g} s"
        return f"{self.holder or 'nobody'} does"

    def _say(self, what: str) -> None:
        said, when = self._said
        if what != said or time.monotonic() > when + _REPEAT_SECONDS:
            self._said = (what, time.monotonic())
            log.warning("lease %s/%s: %s", self._namespace, self._name, what)

    def _collection(self) -> str:
        return _LEASES.format(namespace=self._namespace)


def _version(lease: dict[str, Any]) -> str:
    return str(lease["metadata"]["resourceVersion"])


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
