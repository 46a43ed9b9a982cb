"""kubeconfig files as sections that know where they stand, so that what is wrong is named by file and field.

Source: kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig ("Merging kubeconfig files").
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from klever.errors import FailedPreconditionError

__all__ = ["Merged", "Section", "failure", "is_plain", "merged", "read_file", "read_token"]


def failure(message: str) -> FailedPreconditionError:
    return FailedPreconditionError(message, reason="KUBECONFIG")


class Section:
    """A mapping of a kubeconfig. Null is as good as absent; what has another type than it must have is refused."""

    def __init__(self, value: object, file: Path, path: str = "") -> None:
        self.file = file
        self._path = path
        if value is not None and not isinstance(value, dict):
            raise failure(f"{self}: must be a mapping, not {_kind(value)}")
        self._value: dict[object, object] = value or {}

    def __str__(self) -> str:
        return f"kubeconfig {self.file}" + (f": {self._path}" if self._path else "")

    def wrong(self, field: str, why: str) -> FailedPreconditionError:
        return failure(f"kubeconfig {self.file}: {self._below(field)}: {why}")

    def has(self, field: str) -> bool:
        return self._value.get(field) is not None

    def fields(self) -> list[str]:
        return [str(field) for field in self._value]

    def text(self, field: str) -> str:
        value = self._value.get(field)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.wrong(field, f"must be text, not {_kind(value)}: put it in quotes")
        return value

    def line(self, field: str) -> str:
        """Return text that a header can carry."""
        value = self.text(field)
        if not is_plain(value):
            raise self.wrong(field, "must be one line of text")
        return value

    def required(self, field: str) -> str:
        if not (value := self.line(field)):
            raise self.wrong(field, "is required")
        return value

    def flag(self, field: str) -> bool:
        value = self._value.get(field)
        if not isinstance(value, bool | None):
            raise self.wrong(field, f"must be true or false, not {_kind(value)}")
        return bool(value)

    def section(self, field: str) -> Section:
        return Section(self._value.get(field), self.file, self._below(field))

    def sections(self, field: str) -> list[Section]:
        return [
            Section(item, self.file, f"{self._below(field)}[{index}]") for index, item in enumerate(self._items(field))
        ]

    def texts(self, field: str) -> tuple[str, ...]:
        items = self._items(field)
        if not all(isinstance(item, str) for item in items):
            raise self.wrong(field, "must be a list of texts")
        return tuple(map(str, items))

    def path(self, field: str) -> Path | None:
        """Return the path of a file, which may be relative to that of the kubeconfig."""
        name = self.text(field)
        return self.file.absolute().parent / name if name else None

    def content(self, field: str) -> bytes:
        """Return what FIELD-data holds, or else the file that FIELD names."""
        encoded = f"{field}-data"
        if data := self.text(encoded):
            try:
                return base64.b64decode("".join(data.split()), validate=True)  # in several lines it is as good
            except ValueError as error:
                raise self.wrong(encoded, f"is not base64: {error}") from error
        path = self.path(field)
        if path is None:
            return b""
        if not (content := read_file(path, f"kubeconfig {self.file}: {self._below(field)}")):
            raise self.wrong(field, f"{path} is empty")
        return content

    def _items(self, field: str) -> Sequence[object]:
        value = self._value.get(field)
        if not isinstance(value, list | None):
            raise self.wrong(field, f"must be a list, not {_kind(value)}")
        return value or ()

    def _below(self, field: str) -> str:
        return f"{self._path}.{field}" if self._path else field


@dataclass(frozen=True, slots=True)
class Merged:
    """Several files as one: what stands first wins."""

    origin: str
    current: str
    sections: dict[str, dict[str, Section]]

    def names(self, section: str) -> str:
        return ", ".join(sorted(self.sections[section])) or "it has none"

    def entry(self, section: str, name: str) -> Section:
        entry = self.sections[section].get(name)
        if entry is None:
            raise failure(f"kubeconfig {self.origin}: {section[:-1]} {name!r} does not exist ({self.names(section)})")
        return entry


def merged(files: list[Path]) -> Merged:
    """Raises `FailedPreconditionError` for what is no kubeconfig."""
    current = ""
    sections: dict[str, dict[str, Section]] = {"clusters": {}, "contexts": {}, "users": {}}
    for file in files:
        document = _read(file)
        current = current or document.text("current-context")
        for section, entries in sections.items():
            for item in document.sections(section):
                entries.setdefault(item.text("name"), item.section(section[:-1]))
    return Merged(", ".join(map(str, files)), current, sections)


def read_file(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise failure(f"{where}: {path} cannot be read: {error.strerror}") from error


def read_token(path: Path, where: str) -> str:
    """Return the token that a file holds."""
    content = read_file(path, where).strip()
    if not content or not content.isascii() or not is_plain(content.decode("ascii")):
        raise failure(f"{where}: {path} holds no token: one line of ASCII is one")
    return content.decode("ascii")


def is_plain(text: str) -> bool:
    """Whether a header can carry it."""
    return not any(ord(char) < 32 or ord(char) == 127 for char in text)


def _read(file: Path) -> Section:
    try:
        document = yaml.safe_load(read_file(file, "kubeconfig"))
    except (yaml.YAMLError, ValueError) as error:
        raise failure(f"kubeconfig {file} is no YAML: {error}") from error
    if not isinstance(document, dict):
        raise failure(f"kubeconfig {file} holds no configuration")
    return Section(document, file)


def _kind(value: object) -> str:
    """Say what it is, not what it holds: it may be secret."""
    kinds = {dict: "a mapping", list: "a list", str: "text", bool: "true or false"}
    return kinds.get(type(value), "a number or date")
