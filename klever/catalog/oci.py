"""A catalogue of any OCI registry, through the distribution API."""

from __future__ import annotations

import asyncio
from collections import ChainMap, Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from functools import partial
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from klever.catalog.catalogue import MAX_ATTACHMENT_BYTES, MAX_ATTACHMENTS, Attachment, Catalogue, Push, Version
from klever.catalog.pages import read_by_time, read_page
from klever.catalog.reader import VersionReader
from klever.errors import IntegrityError, InvalidError, NotFoundError, UnavailableError
from klever.limits import DEFAULTS, Limits
from klever.oci.client import RegistryClient
from klever.oci.digest import Digest
from klever.oci.layout import Layout
from klever.oci.manifest import Descriptor, Manifest
from klever.oci.reference import Reference
from klever.oci.registries import Endpoint, Registries

__all__ = ["OciCatalogue"]

T = TypeVar("T")

_THREADS: Final = 32
"""How many calls run at a time. Others wait."""
_CLIENTS: Final = 8
"""How many clients read one list at a time."""
_CHUNK: Final = 4 * _CLIENTS
"""How many versions are read between checks of the size of their metadata."""
_PATIENCE: Final = 10.0
"""The timeout in seconds. It is short, because documents are small and a caller waits for them."""
_TURNS: Final = 4
"""How many callers wait for the answers of one registry that is not the platform's own."""
_ALL_TURNS: Final = 8
"""How many callers wait for the answers of all such registries: half of the controllers' workers."""
_PATIENCE_FOR_TURN: Final = 2.0
"""How long others wait for a turn, in seconds. The controllers have 16 workers, and try again later."""
_POLL_SECONDS: Final = 60.0


class OciCatalogue(Catalogue):
    """Reads the registries of the table, and caches configs in the layout `metadata`.

    Clients run in the catalogue's own threads: a registry that does not answer would block those of the event loop. A
    list costs one request per tag, and one per config that is not cached. `notifications` polls every `poll` seconds.
    """

    def __init__(
        self, registries: Registries, metadata: Layout, limits: Limits = DEFAULTS, *, poll: float = _POLL_SECONDS
    ) -> None:
        self._registries = registries
        self._metadata = metadata
        self._limits = limits
        self._poll = poll
        self._reader = VersionReader(limits)
        self._threads = ThreadPoolExecutor(_THREADS, "catalogue")
        self._turns = WeakValueDictionary[str, asyncio.Semaphore]()
        self._all_turns = asyncio.Semaphore(_ALL_TURNS)

    async def projects(self) -> dict[str, int]:
        return dict(Counter(name.partition("/")[0] for name in await self.models()))

    async def models(self, project: str = "") -> list[str]:
        names = await self._call(self._registries.resolve_host(""), RegistryClient.repositories)
        prefix = f"{project}/" if project else ""
        return sorted(name for name in names if "/" in name and name.startswith(prefix))

    async def count(self, repository: str) -> int:
        try:
            return len(await self._tags(repository))
        except NotFoundError:
            return 0

    async def versions(
        self, repository: str, *, containing: str = "", offset: int, limit: int
    ) -> tuple[list[Version | None], bool]:
        tags = [tag for tag in await self._tags(repository) if containing in tag]
        page = await read_page(tags[offset : offset + limit], partial(self._read_all, repository), chunk=_CHUNK)
        return page, len(tags) > offset + len(page)

    async def versions_by_time(self, repository: str, *, containing: str = "") -> list[Version]:
        tags = [tag for tag in await self._tags(repository) if containing in tag]
        return await read_by_time(tags, partial(self._read_all, repository), repository, self._limits, chunk=_CHUNK)

    async def latest(self, repository: str) -> Version | None:
        found = await self.versions_by_time(repository)
        return found[-1] if found else None

    async def resolve(self, reference: Reference) -> Version:
        if reference.digest is not None and (known := self._reader.known(reference, reference.digest)):
            return known
        async with self._turn(reference.host) if reference.host else nullcontext():
            return await self._with(reference, lambda client: self._read(client, reference))

    async def attachments(self, version: Version, artifact_type: str) -> list[Attachment]:
        return await self._with(version.reference, lambda client: self._attached(client, version, artifact_type))

    async def tag(self, version: Version, tag: str, expected: Digest | None) -> None:
        def write(client: RegistryClient) -> None:
            repository = version.reference.repository
            fetched = client.get_manifest(repository, str(version.digest))
            client.put_manifest(repository, tag, fetched.content, fetched.media_type, expected=expected)

        await self._with(version.reference, write)

    async def delete(self, reference: Reference, *, force: bool = False) -> None:  # noqa: ARG002 - the registry's own
        await self._with(reference, lambda client: client.delete_manifest(reference.repository, reference.target))

    async def check_unused(self, reference: Reference) -> None:
        await self.resolve(reference)  # another registry tells only at the delete whether it refuses

    async def contents(self) -> AsyncIterator[Digest]:
        for repository in await self.models():
            for tag, digest in await self._digests(repository):
                reference = Reference(repository, tag=tag).with_digest(digest)
                try:
                    content = await self._with(reference, partial(self._content, reference, digest))
                except (IntegrityError, InvalidError, NotFoundError):
                    continue
                yield content

    async def changes(self) -> AsyncIterator[str]:
        while True:
            yield ""
            await asyncio.sleep(self._poll)

    async def notifications(self) -> AsyncIterator[Push]:
        known: dict[tuple[str, str], Digest] = {}
        new = False
        while True:
            current: dict[tuple[str, str], Digest] = {}
            for repository in await self.models():
                for tag, digest in await self._digests(repository):
                    current[repository, tag] = digest
                    if known.get((repository, tag)) != digest:
                        yield Push(repository, tag, digest, new=new)
            known, new = current, True
            await asyncio.sleep(self._poll)

    def _attached(self, client: RegistryClient, version: Version, artifact_type: str) -> list[Attachment]:
        repository = version.reference.repository
        found, left = list[Attachment](), MAX_ATTACHMENT_BYTES
        for descriptor in client.referrers(repository, version.digest, artifact_type)[:MAX_ATTACHMENTS]:
            with suppress(IntegrityError, InvalidError, NotFoundError):
                manifest = Manifest.parse(client.get_manifest(repository, str(descriptor.digest)).content)
                if len(manifest.layers) == 1 and manifest.layers[0].size <= left:
                    content = self._document(client, repository, manifest.layers[0])
                    found.append(Attachment(content, manifest.annotations))
                    left -= manifest.layers[0].size
        return found

    def _content(self, reference: Reference, digest: Digest, client: RegistryClient) -> Digest:
        if known := self._reader.summary(reference, digest):
            return known.content
        return self._reader.content(reference, client.get_manifest(reference.repository, str(digest)).content)

    def _read(self, client: RegistryClient, reference: Reference) -> Version:
        fetched = client.get_manifest(reference.repository, reference.target)
        if known := self._reader.known(reference, fetched.digest):
            return known
        manifest = self._reader.parse(reference, fetched.content)
        config = self._document(client, reference.repository, manifest.config)
        return self._reader.read(reference, fetched.digest, manifest, config)

    def _document(self, client: RegistryClient, repository: str, blob: Descriptor) -> bytes:
        if not self._metadata.has(blob):
            with self._metadata.writer(expected=blob.digest, size=blob.size) as writer:
                client.get_blob(repository, blob, writer)
                writer.commit()
        return self._metadata.read(blob)

    async def _read_all(self, repository: str, tags: Sequence[str]) -> list[Version | None]:
        """Return the summary of the version of each tag; None if it cannot be read."""

        def read(client: RegistryClient, tag: str) -> Version | None:
            try:
                return self._read(client, Reference(repository, tag=tag)).summary
            except (IntegrityError, InvalidError, NotFoundError):
                return None

        return await self._each(repository, tags, read)

    async def _tags(self, repository: str) -> list[str]:
        return sorted(await self._with(Reference(repository), lambda client: client.tags(repository)))

    async def _digests(self, repository: str) -> list[tuple[str, Digest]]:
        """Return each tag with its digest; empty for a repository that was deleted meanwhile."""
        try:
            tags = await self._tags(repository)
            digests = await self._each(repository, tags, lambda client, tag: client.get_digest(repository, tag))
        except NotFoundError:
            return []
        return [(tag, digest) for tag, digest in zip(tags, digests, strict=True) if digest is not None]

    async def _each(self, repository: str, tags: Sequence[str], ask: Callable[[RegistryClient, str], T]) -> list[T]:
        """Return the result of `ask` for each tag. A few clients that run in parallel share the tags."""

        async def answers(part: Sequence[str]) -> dict[str, T]:
            return await self._with(Reference(repository), lambda client: {tag: ask(client, tag) for tag in part})

        parts = [tags[start::_CLIENTS] for start in range(min(_CLIENTS, len(tags)))]
        found = dict(ChainMap(*await asyncio.gather(*map(answers, parts))))
        return [found[tag] for tag in tags]

    @asynccontextmanager
    async def _turn(self, host: str) -> AsyncIterator[None]:
        """Wait for a turn with another registry, so that a slow one holds few callers. Raises `UnavailableError`."""
        turns = self._turns.setdefault(host, asyncio.Semaphore(_TURNS))
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(_PATIENCE_FOR_TURN):
                    await stack.enter_async_context(turns)
                    await stack.enter_async_context(self._all_turns)
            except TimeoutError as error:
                waiting = f"{_TURNS} requests to it, or {_ALL_TURNS} to all such registries, are waiting already"
                raise UnavailableError(f"cannot ask the registry {host} now: {waiting}") from error
            yield

    async def _with(self, reference: Reference, call: Callable[[RegistryClient], T]) -> T:
        try:
            return await self._call(self._registries.resolve(reference), call)
        except NotFoundError as error:
            raise NotFoundError(
                f"{reference} is not in the registry: {error.message}", reason="MODEL_NOT_FOUND"
            ) from error

    async def _call(self, endpoint: Endpoint, call: Callable[[RegistryClient], T]) -> T:
        def run() -> T:
            with RegistryClient(endpoint, timeout=_PATIENCE) as client:
                return call(client)

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)
