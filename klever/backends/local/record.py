"""The record of a running replica, which a restarted control plane reads.

DIRECTORY/replica.json   this record
DIRECTORY/store/         MODEL_STORE: files and links that the replica reads
DIRECTORY/work/          files that the replica writes
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from klever.backends import ServingKey
from klever.formats import Trust
from klever.process.removal import remove_tree
from klever.runtimes import Guard, Launch, Probe, unix_path

__all__ = ["PROCESS_PREFIX", "Addresses", "Record", "Slot", "lay_out", "read_record", "wipe"]

PROCESS_PREFIX: Final = "serving."
"""The prefix of the ids of replicas' processes."""

_RECORD: Final = "replica.json"
_MAX_RECORD: Final = 16 << 20
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory is on Linux


@dataclass(frozen=True, slots=True)
class Slot:
    """The identity of one replica, independent of its process."""

    key: ServingKey
    workload: str
    index: int

    @property
    def process(self) -> str:
        """The id of the process. Its parts are DNS labels, so dots separate them."""
        return f"{PROCESS_PREFIX}{self.key.namespace}.{self.key.name}.{self.workload}.{self.index}"

    @property
    def name(self) -> str:
        """The name for people, unique in its namespace."""
        return f"{self.key.name}-{self.workload}-{self.index}"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses `HOST:PORT` or `unix:PATH`, empty for a protocol on which the replica does not listen."""

    http: str
    grpc: str = ""
    metrics: str = ""

    @property
    def ports(self) -> frozenset[int]:
        listened = (address for address in (self.http, self.grpc, self.metrics) if address)
        return frozenset(int(address.rpartition(":")[2]) for address in listened if not unix_path(address))


@dataclass(frozen=True, slots=True)
class Record:
    """The start parameters of a replica. `content` is the digest of its model, empty if it has none."""

    slot: Slot
    content: str
    addresses: Addresses
    probe: Probe
    shared_memory: str
    trust: Trust
    guard: Guard


def lay_out(directory: Path, launch: Launch, model: Path | None, record: Record) -> None:
    """Empty `directory`, and write the files of a launch into it. Raises `OSError`."""
    wipe(directory, record.shared_memory)
    store, work = directory / "store", directory / "work"
    for made in (store, work):
        made.mkdir(parents=True)
    for name, content in launch.files.items():
        _parent(store / name).write_bytes(content)
    for name, target in launch.links.items():
        if model is not None:
            _parent(store / name).symlink_to(model / target)
    for path in (store, *store.rglob("*")):  # the replica may run as another user
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    (directory / _RECORD).write_text(_encode(record))


def wipe(directory: Path, shared_memory: str) -> None:
    """Remove `directory` and the shared memory of a killed process. Raises `OSError`."""
    remove_tree(directory)
    if shared_memory:
        for segment in _SHARED_MEMORY.glob(f"{shared_memory}*"):
            with suppress(FileNotFoundError, IsADirectoryError):  # another payload's directory of the same name
                segment.unlink()


def read_record(directory: Path) -> Record | None:
    """Return the record of a replica directory, None if it is missing or cannot be read."""
    try:
        with (directory / _RECORD).open("rb") as file:
            return _decode(json.loads(file.read(_MAX_RECORD)))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _encode(record: Record) -> str:
    document = asdict(record)
    document["probe"]["body"] = base64.b64encode(record.probe.body).decode()
    document["probe"]["own_errors"] = [error.decode() for error in record.probe.own_errors]
    return json.dumps(document)


def _decode(document: Mapping[str, Any]) -> Record:
    probe = {
        **document["probe"],
        "body": base64.b64decode(document["probe"]["body"]),
        "own_errors": tuple(error.encode() for error in document["probe"]["own_errors"]),
    }
    return Record(
        **{
            **document,
            "slot": Slot(**{**document["slot"], "key": ServingKey(**document["slot"]["key"])}),
            "addresses": Addresses(**document["addresses"]),
            "probe": Probe(**probe),
            "trust": Trust(document["trust"]),
            "guard": Guard(document["guard"]),
        }
    )
