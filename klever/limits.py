"""The limits of the platform, in one table: every size that can become memory, disk or time has a row here.

`Limits` holds the values of one platform. An operator changes a value with `klever up --limit NAME=VALUE`. Code below
`klever.cmd` receives the `Limits` that it needs, and checks them with `Limits.check`, so that every error says what is
too large, how large it is, what the limit is, and how to change it. `docs/limits.md` is generated from this table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Self

from klever.errors import ExhaustedError, FieldViolation, InvalidError

__all__ = ["DEFAULTS", "Limit", "Limits"]


@dataclass(frozen=True, slots=True)
class Limit:
    """One row: a name as in `--limit NAME=VALUE`, its value, the unit of the value, and what it bounds."""

    name: str
    value: int
    unit: str
    bounds: str


def _limit(default: int, unit: str, bounds: str) -> int:
    return field(default=default, metadata={"unit": unit, "bounds": bounds})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The values of one platform. Every field is a limit; its metadata gives the unit and what the limit bounds."""

    config_bytes: int = _limit(1 << 20, "bytes", "the metadata of a version: its config, at most 4 MiB")
    tensors: int = _limit(1_000, "tensors", "the inputs, and the outputs, of a signature")
    tensor_rank: int = _limit(32, "dimensions", "the rank of a tensor in a signature")
    tensor_elements: int = _limit(1 << 26, "elements", "the elements of a tensor; dynamic dimensions count as 1")
    tensor_values: int = _limit(10_000, "values", "the values of a field, and the classes of a model")
    operators: int = _limit(10_000, "kinds of operators", "the operators of a signature")
    name_length: int = _limit(1_024, "characters", "a name in a signature, and a value of an enumerated field")
    chat_template_length: int = _limit(1 << 16, "characters", "the chat template of a language model")
    warnings: int = _limit(100, "warnings", "the warnings of a model's reader")
    example_bytes: int = _limit(64 << 20, "bytes", "an example request, and the health probe made from a signature")
    message_bytes: int = _limit(4 << 20, "bytes", "a message that a caller of the API sends")
    response_bytes: int = _limit(4 << 20, "bytes", "a response of the API: a gRPC client accepts 4 MiB by default")
    unread_bytes: int = _limit(
        32 << 20, "bytes", "the answers above 64 KiB that are not read yet, of the API and of the registry each"
    )
    open_streams: int = _limit(500, "streams", "the watches and followed logs of all callers at a time")
    anonymous_streams: int = _limit(400, "streams", "the streams of callers without a token, to leave some for others")
    api_requests: int = _limit(500, "requests", "the requests to the API at a time, except open streams")
    task_memory_bytes: int = _limit(2 << 30, "bytes", "the resident memory of a job's task that asks for no other")
    job_memory_bytes: int = _limit(64 << 30, "bytes", "the memory that a job may ask for, or its conversion may need")
    task_seconds: int = _limit(3600, "seconds", "the run time of a job's task, whatever its spec allows")
    reading_seconds: int = _limit(120, "seconds", "the processor time to inspect a model, and to read its signature")
    anonymous_lists: int = _limit(4, "lists", "the lists and models that callers without a token read at a time")
    concurrent_renders: int = _limit(4, "renders", "the calls of RenderServing at a time")
    log_bytes: int = _limit(10 << 20, "bytes", "the log of a replica, task or part; one older part is kept in addition")
    model_files: int = _limit(100_000, "files", "the files of a model, and the members of an archive in one")
    model_bytes: int = _limit(1 << 40, "bytes", "the files of a model, unpacked")
    archive_ratio: int = _limit(300, "times", "the size of a model of more than 256 MiB, over that of its archive")
    path_bytes: int = _limit(1_024, "bytes", "the name of a file in a model, with its directories")
    path_depth: int = _limit(64, "directories", "the directories above a file of a model")
    inspected_bytes: int = _limit(4 << 30, "bytes", "the data that an inspection decompresses and reads from one model")
    inspected_opcodes: int = _limit(
        5_000_000, "opcodes", "the opcodes of one model's pickles that an inspection follows"
    )
    listed_bytes: int = _limit(16 << 20, "bytes", "the metadata of the versions that are sorted by their time")
    versions_by_time: int = _limit(1_000, "versions", "the versions of a model that are listed by their time")
    tags_per_page: int = _limit(1_000, "tags", "a page of the registry's lists")
    manifest_bytes: int = _limit(4 << 20, "bytes", "a manifest that is pushed to the registry")
    model_manifest_bytes: int = _limit(256 << 10, "bytes", "the manifest of a model, which lists read")
    blob_bytes: int = _limit(1 << 40, "bytes", "a blob that is pushed to the registry")
    project_bytes: int = _limit(1 << 40, "bytes", "the blobs of a project in the embedded registry, uploads included")
    upload_sessions: int = _limit(1_000, "uploads", "the blob uploads that are open at a time")
    upload_sessions_per_repository: int = _limit(500, "uploads", "the blob uploads that are open for one repository")
    request_bytes: int = _limit(64 << 20, "bytes", "an inference request, and a message of an inference stream")
    scored_records: int = _limit(10_000, "records", "the records, or rows, of one request to a PMML model")
    scored_values: int = _limit(1_000_000, "values", "the values of one request to a PMML model")
    request_depth: int = _limit(100, "levels", "the lists and objects around a value of a request to a PMML model")
    uploaded_models: int = _limit(100, "models", "the models that callers add to a replica of a PMML model")
    uploaded_bytes: int = _limit(256 << 20, "bytes", "the models that callers add to a replica of a PMML model")
    gateway_connections: int = _limit(10_000, "connections", "the connections of all clients to the gateway")
    gateway_bytes: int = _limit(
        2 << 30, "bytes", "the gateway's memory: it holds an inference request until it is complete"
    )

    @classmethod
    def parse(cls, settings: Iterable[str]) -> Self:
        """Return the defaults with `NAME=VALUE` applied. Raises `InvalidError` that names the setting."""
        limits = cls()
        for setting in settings:
            name, _, value = setting.partition("=")
            known = {limit.name: limit for limit in limits.rows()}
            if name not in known:
                raise InvalidError(f"invalid limit {name!r}: must be one of {', '.join(sorted(known))}")
            if not (value.isascii() and value.isdecimal() and len(value) < 20 and 0 < int(value) < 1 << 63):
                raise InvalidError(
                    f"invalid limit {setting!r}: the value must be a positive number of {known[name].unit}"
                )
            limits = replace(limits, **{name: int(value)})
        return limits

    def rows(self) -> tuple[Limit, ...]:
        """Return the table, in the order of the fields."""
        return tuple(self._row(f.name) for f in fields(self))

    def _row(self, name: str) -> Limit:
        metadata = self.__dataclass_fields__[name].metadata
        return Limit(name, getattr(self, name), metadata["unit"], metadata["bounds"])

    def check(self, name: str, used: int, what: str, path: str = "") -> None:
        """Raise `InvalidError` if `used` exceeds the limit `name`. `what` is the subject, `path` a field path."""
        if used <= getattr(self, name):
            return
        limit = self._row(name)
        message = (
            f"{what} has {used} {limit.unit}, but the limit {name} is {limit.value}: "
            f"reduce it, or start the platform with --limit {name}={used}"
        )
        violations = (FieldViolation(path, message),) if path else ()
        raise InvalidError(message, violations=violations, reason="LIMIT_EXCEEDED", metadata={"limit": name})

    def exceeded(self, name: str, what: str) -> InvalidError:
        """Return the error for `what`, which was not read beyond the limit `name`."""
        limit = self._row(name)
        return InvalidError(
            f"{what} has more than {limit.value} {limit.unit}, the limit {name}: reduce it, or start the platform with "
            f"a larger --limit {name}=N",
            reason="LIMIT_EXCEEDED",
            metadata={"limit": name},
        )

    def admit(self, name: str, busy: int, what: str) -> None:
        """Raise `ExhaustedError` if `busy` has reached the limit `name`, so that `what` has to wait."""
        most = getattr(self, name)
        if busy < most:
            return
        limit = self._row(name)
        raise ExhaustedError(
            f"{what} must wait: there are {busy} {limit.unit}, and the limit {name} is {most}: try again later, or "
            f"start the platform with a larger --limit {name}=N",
            reason="LIMIT_EXCEEDED",
            metadata={"limit": name},
        )


DEFAULTS = Limits()
