"""Leader election by a Lease (client-go: tools/leaderelection): of several processes one works.

Whether another's lease has ended is judged by how long it has not changed by our own clock; no clocks are compared.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from datetime import UTC, datetime
from typing import Any

from klever.api.kinds import NAMESPACE
from klever.errors import AlreadyExistsError, ConflictError, KleverError, NotFoundError, UnavailableError
from klever.kube.client import KubeClient

__all__ = ["Election"]

log = logging.getLogger(__name__)

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"


class Election:
    """One candidate. `duration`, `deadline` and `retry` in seconds: 15, 10 and 2 as in Kubernetes' own controllers."""

    def __init__(
        self,
        client: KubeClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        duration: float = 15.0,
        deadline: float = 10.0,
        retry: float = 2.0,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self.identity = identity
        self._duration = duration
        self._deadline = deadline
        self._retry = retry
        self._seen: tuple[str, float] = ("", 0.0)
        """The lease's version when it last changed, and when that was noticed."""
        self._renewed = float("-inf")
        self.holder = ""
        """Who leads, as last seen."""

    def leads(self) -> bool:
        """Whether the lease is surely ours at this moment."""
        return time.monotonic() < self._renewed + self._deadline

    async def acquire(self) -> None:
        """Return once this candidate leads."""
        while not await self._attempt():  # noqa: ASYNC110 - what is waited for is elsewhere
            # At once where there is no lease yet: its namespace was just made.
            await asyncio.sleep(self._retry * random.uniform(1.0, 1.2) if self.holder else 0.1)  # noqa: S311

    async def hold(self) -> None:
        """Renew for as long as it works; raises `UnavailableError` when it no longer leads."""
        while True:
            await asyncio.sleep(self._retry)
            if self.leads():  # else the time between was too long: what another did in it is unknown here
                await self._attempt()
            if not self.leads():
                self._renewed = float("-inf")
                raise UnavailableError(f"{self.identity} leads no longer: {self.holder or 'nobody'} does")

    async def release(self) -> None:
        """Give the lease up, so that another need not wait for its end."""
        if not self.leads():
            return
        self._renewed = float("-inf")
        try:
            lease = await self._read()
            if lease["spec"].get("holderIdentity") == self.identity:
                await self._write(lease, {"holderIdentity": "", "leaseDurationSeconds": 1})
        except KleverError as error:
            log.warning("the lease %s was not released: %s", self._name, error)

    async def _attempt(self) -> bool:
        """Take or renew the lease, if it can be had."""
        before = time.monotonic()
        try:
            async with asyncio.timeout(self._deadline / 2):
                taken = await self._take()
        except (KleverError, TimeoutError) as error:
            log.warning("lease %s/%s: %s", self._namespace, self._name, str(error) or "no answer")
            return False
        if taken:
            self._renewed = before
        else:
            self._renewed = float("-inf")
        return taken

    async def _take(self) -> bool:
        try:
            lease = await self._read()
        except NotFoundError:
            return await self._create()
        spec = lease["spec"]
        version = lease["metadata"]["resourceVersion"]
        self.holder = spec.get("holderIdentity") or ""
        if version != self._seen[0]:
            self._seen = (version, time.monotonic())
        mine = self.holder == self.identity
        if self.holder and not mine and time.monotonic() < self._seen[1] + self._duration:
            return False
        now = _now()
        change: dict[str, Any] = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(self._duration),
            "renewTime": now,
        }
        if not mine:
            change |= {"acquireTime": now, "leaseTransitions": spec.get("leaseTransitions", 0) + 1}
        try:
            await self._write(lease, change)
        except ConflictError:
            return False
        self.holder = self.identity
        return True

    async def _create(self) -> bool:
        now = _now()
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(self._duration),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": 0,
        }
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": spec,
        }
        try:
            await self._client.raw("POST", self._collection(), body=lease)
        except AlreadyExistsError:
            return False
        except NotFoundError:
            await self._client.create(NAMESPACE, {"metadata": {"name": self._namespace}})
            return False
        self.holder = self.identity
        return True

    async def _read(self) -> dict[str, Any]:
        lease: dict[str, Any] = await self._client.raw("GET", f"{self._collection()}/{self._name}")
        return lease

    async def _write(self, lease: dict[str, Any], spec: dict[str, Any]) -> None:
        patch = {"metadata": {"resourceVersion": lease["metadata"]["resourceVersion"]}, "spec": spec}
        await self._client.raw(
            "PATCH", f"{self._collection()}/{self._name}", body=patch, content_type="application/merge-patch+json"
        )

    def _collection(self) -> str:
        return _LEASES.format(namespace=self._namespace)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
