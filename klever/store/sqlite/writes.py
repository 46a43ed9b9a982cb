"""Writes. Each is decided against the head in one step of the loop, and returns when it is durable."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal, NamedTuple, TypeVar

from klever.api.kinds import NAMESPACE, Kind, Object
from klever.errors import (
    AlreadyExistsError,
    FieldViolation,
    InvalidError,
    KleverError,
    NotFoundError,
    PermissionDeniedError,
)
from klever.store import Key, meta
from klever.store.admission import Admission
from klever.store.sqlite.encoding import copied, decode, encode, is_deleting
from klever.store.sqlite.engine import Commit, Engine, Table
from klever.store.sqlite.history import Change
from klever.store.sqlite.schema import Row

__all__ = ["Decide", "Writes", "not_found"]

T = TypeVar("T")

Decide = Callable[[Object, Row], Object]
"""Maps the current object and its row to the new object. It modifies neither, and raises to reject the write."""


class Found(NamedTuple):
    """An object as a write finds it. `commit` is the transaction that it waits for, if it is not durable yet."""

    object: Object
    row: Row
    commit: Commit | None


class Writes:
    """The common part of the contract's writing calls."""

    def __init__(self, engine: Engine, admission: Admission, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._admission = admission
        self._clock = clock

    async def create(self, kind: Kind, new: Object, applied: bytes = b"", *, dry_run: bool = False) -> Object:
        """Store a new object. May modify `new` and its metadata, but not the values in them.

        `applied` is what an apply named, for the next apply.
        """
        meta.begin(kind, new, self._clock())
        _refuse(tuple(meta.violations(kind, new)))
        metadata = new["metadata"]
        address = (metadata.get("namespace", ""), metadata["name"])
        if kind.namespaced:
            await self._check_namespace(kind, address[0])
        admitted = self._admission.admit(kind, new, None, "")
        table = self._engine.tables[kind]
        existing, commit = table.current(address)
        if existing is not None:
            await _durable(commit)
            raise AlreadyExistsError(f"{kind.kind} {Key(*address)} already exists")
        if dry_run:
            return admitted
        number = self._engine.next_revision
        stored = _versioned(admitted, number)
        data = encode(stored)
        row = Row(number, kind.resource, *address, number, data, applied)
        await self._engine.write(table, row, Change(*address, metadata["uid"], number, None, data)).wait()
        return stored

    async def update(
        self,
        kind: Kind,
        key: Key,
        decide: Decide,
        subresource: Literal["", "status"] = "",
        applied: bytes | None = None,
        *,
        dry_run: bool = False,
    ) -> Object:
        """Change an object. Drop it if it is being deleted and the change removes its last finalizer."""

        def checked(old: Object, row: Row) -> Object:
            return self._checked(kind, old, decide(old, row), subresource)

        new, (old, row, commit) = await self._decided(kind, key, checked)
        if dry_run:
            return new
        table = self._engine.tables[kind]
        if meta.deleting(new) and not new["metadata"].get("finalizers") and kind != NAMESPACE:
            return await self._drop(table, row, new)
        if new == old and applied in (None, row.applied):
            await _durable(commit)
            return old
        return await self._put(table, row, new, row.applied if applied is None else applied)

    async def delete(self, kind: Kind, key: Key, preconditions: dict[str, str], *, dry_run: bool = False) -> None:
        """Drop an object, or mark it if it has finalizers. A namespace is always marked: it may have content."""

        def marked(old: Object, _row: Row) -> Object | None:
            meta.check_preconditions(f"{kind.kind} {key}", preconditions, old)
            if not old["metadata"].get("finalizers") and kind != NAMESPACE:
                return None
            if meta.deleting(old):
                return old
            new = copied(old)
            meta.mark_deleted(kind, new, self._clock())
            return new

        new, (old, row, commit) = await self._decided(kind, key, marked)
        if dry_run:
            return
        table = self._engine.tables[kind]
        if new is None:
            await self._drop(table, row, old)
        elif new is old:
            await _durable(commit)
        else:
            await self._put(table, row, new, row.applied)

    async def release(self, key: Key) -> None:
        """Drop a namespace that is being deleted, empty and without finalizers."""
        _, (old, row, _) = await self._decided(NAMESPACE, key, lambda _old, _row: None)
        if meta.deleting(old) and not old["metadata"].get("finalizers"):
            await self._drop(self._engine.tables[NAMESPACE], row, old)

    async def _decided(self, kind: Kind, key: Key, decide: Callable[[Object, Row], T]) -> tuple[T, Found]:
        """Return the result of `decide` on the object in the head. The caller must write it without another await.

        A rejection based on a write that is not durable yet waits for it, because that write may still fail.
        """
        while True:
            row, commit = self._engine.tables[kind].current((key.namespace, key.name))
            try:
                if row is None:
                    raise not_found(kind, key)
                old = decode(row.data)
                return decide(old, row), Found(old, row, commit)
            except KleverError:
                if commit is None:
                    raise
                try:
                    await commit.wait()
                except KleverError:
                    continue
                raise

    def _checked(self, kind: Kind, old: Object, new: Object, subresource: Literal["", "status"]) -> Object:
        new = copied(new)
        meta.check_envelope(kind, new)
        if subresource == "status":
            new["metadata"] = old["metadata"]
        new = self._admission.admit(kind, new, old, subresource)
        if subresource == "":
            meta.carry_over(kind, old, new)  # after the defaults, which do not count as a change of the spec
            _refuse(tuple(meta.violations(kind, new, old)))
        return new

    async def _check_namespace(self, kind: Kind, namespace: str) -> None:
        row, _ = self._engine.tables[NAMESPACE].current(("", namespace))
        if row is not None and not is_deleting(row.data):
            return  # the common case, found without decoding; a rejection may have to wait for a commit

        def refuse(found: Object, _row: Row) -> None:
            if meta.deleting(found):
                raise PermissionDeniedError(
                    f"namespace {namespace} is being deleted: cannot create a {kind.kind} in it",
                    reason="NAMESPACE_TERMINATING",
                )

        try:
            await self._decided(NAMESPACE, Key("", namespace), refuse)
        except NotFoundError as error:
            raise NotFoundError(error.message, reason="NAMESPACE_NOT_FOUND") from error

    async def _put(self, table: Table, row: Row, new: Object, applied: bytes) -> Object:
        number = self._engine.next_revision
        stored = _versioned(new, number)
        data = encode(stored)
        kept = Row(row.id, row.kind, row.namespace, row.name, number, data, applied)
        change = Change(row.namespace, row.name, new["metadata"]["uid"], number, row.data, data)
        await self._engine.write(table, kept, change).wait()
        return stored

    async def _drop(self, table: Table, row: Row, last: Object) -> Object:
        number = self._engine.next_revision
        dropped = _versioned(last, number)
        uid = last["metadata"]["uid"]
        change = Change(row.namespace, row.name, uid, number, row.data, encode(dropped), deleted=True)
        await self._engine.write(table, row, change).wait()
        return dropped


def not_found(kind: Kind, key: Key) -> NotFoundError:
    return NotFoundError(f'{kind.plural} "{key}" not found')


async def _durable(commit: Commit | None) -> None:
    if commit is not None:
        await commit.wait()


def _versioned(obj: Object, number: int) -> Object:
    return obj | {"metadata": obj["metadata"] | {"resourceVersion": str(number)}}


def _refuse(violations: tuple[FieldViolation, ...]) -> None:
    if violations:
        raise InvalidError(violations=violations)
