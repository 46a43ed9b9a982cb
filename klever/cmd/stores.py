"""Opens the store of the objects, and elects the leader that works on them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from klever.api.kinds import KINDS
from klever.cmd.data import DataDirectory
from klever.cmd.options import StoreOptions
from klever.cmd.preflight import Right, check_kinds, check_rights
from klever.errors import UnavailableError
from klever.kube import KubeClient
from klever.reconcile.election import Election
from klever.store import Store
from klever.store.kubernetes import CachedStore, KubernetesStore
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission

__all__ = ["LEASE", "Stores", "open_stores"]

log = logging.getLogger(__name__)

LEASE = "klever-controllers"
_PAUSE = 1.0
"""Seconds before the next term, because the cause of the last end may persist."""


@dataclass(frozen=True, slots=True)
class Stores:
    """`api` reads the current state, `controllers` cached state. Without an election, this process leads.

    `cluster` is the API server of objects that are in one.
    """

    api: Store
    controllers: Store
    election: Election | None = None
    cluster: KubeClient | None = None

    def leads(self) -> bool:
        """Whether this process is certainly the leader at this moment."""
        return self.election is None or self.election.leads()

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` whenever this process is the leader, until cancelled."""
        if self.election is None:
            await work()
            return
        try:
            while True:
                await _term(self.election, work)
        finally:
            await self.election.release()


async def _term(election: Election, work: Callable[[], Awaitable[None]]) -> None:
    """Wait to be elected, then work until the lease is lost."""
    await election.acquire()
    log.info("%s is the leader", election.identity)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(election.hold(), name="lease")
            group.create_task(_forever(work), name="controllers")
    except ExceptionGroup as group:
        error = group.exceptions[0]
        if not isinstance(error, UnavailableError):
            raise error from None
        log.warning("the controllers are stopping: %s", error)
        await asyncio.sleep(_PAUSE)


async def _forever(work: Callable[[], Awaitable[None]]) -> None:
    await work()


@asynccontextmanager
async def open_stores(
    options: StoreOptions, data: DataDirectory, rights: Iterable[Right], identity: str = ""
) -> AsyncIterator[Stores]:
    """Open the store. The only process of a database leads; the processes at an API server elect a leader.

    `rights` are the rights that the API server must have granted, in addition to those on the Lease. `identity` is the
    candidate's name. By default it is that of the data directory, which only one process holds, so that a process that
    restarts after a kill need not wait for its own lease to expire. Raises `FailedPreconditionError` for a kubeconfig
    or cluster that lacks something, `PermissionDeniedError` for missing rights.
    """
    if options.kubernetes:
        async with _kubernetes(options, data, rights, identity or _identity(data)) as stores:
            yield stores
        return
    store = await SqliteStore.open(data.database, SchemaAdmission())
    try:
        yield Stores(store, store)
    finally:
        await store.close()


@asynccontextmanager
async def _kubernetes(
    options: StoreOptions, data: DataDirectory, rights: Iterable[Right], identity: str
) -> AsyncIterator[Stores]:
    from klever.kube.kubeconfig import load_config

    config = load_config(options.kubeconfig, options.context, environ=os.environ)
    client = await KubeClient.open(config)
    apart = await KubeClient.open(config)  # requests of the controllers must not delay the Lease
    try:
        await check_kinds(client)
        await check_rights(client, rights, options.lease_namespace)
        direct = KubernetesStore(client, SchemaAdmission())
        for kind in filter(lambda kind: kind.is_own, KINDS):
            await direct.list(kind, limit=1)  # some faults of a server show only in a read
        place = f"{socket.gethostname()}:{data.root}"
        election = Election(apart, namespace=options.lease_namespace, name=LEASE, identity=identity, place=place)
        await election.check()
        async with CachedStore(client, direct, election.leads) as cached:
            yield Stores(direct, cached, election, client)
    finally:
        await client.close()
        await apart.close()


def _identity(data: DataDirectory) -> str:
    return f"{socket.gethostname()}_{hashlib.sha256(os.fsencode(data.root)).hexdigest()[:12]}"
