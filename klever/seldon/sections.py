"""A mapping of a document that knows its path, and which of its fields were read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from klever.errors import FieldViolation

__all__ = ["Report", "Section", "filled"]

_UNSUPPORTED: Final = "has no counterpart in a Serving and is not imported"


class Report:
    """The fields that an import cannot express. Errors prevent it, warnings do not."""

    def __init__(self) -> None:
        self.errors: list[FieldViolation] = []
        self.warnings: list[FieldViolation] = []

    def error(self, path: str, description: str) -> None:
        self.errors.append(FieldViolation(path, description))

    def warn(self, path: str, description: str) -> None:
        self.warnings.append(FieldViolation(path, description))


class Section:
    """Reads fields of a mapping by type. A value of another type is an error, and reads as an absent one."""

    def __init__(self, value: Any, path: str, report: Report) -> None:
        self._values: dict[str, Any] = dict(value) if isinstance(value, Mapping) else {}
        self._path = path
        self.report = report
        if value is not None and not isinstance(value, Mapping):
            report.error(path, "must be an object")

    def __bool__(self) -> bool:
        return bool(self._values)

    def path(self, name: str = "") -> str:
        """Return the path of a field, or of the section itself."""
        if not name or not self._path:
            return name or self._path
        return f"{self._path}.{name}" if name.replace("_", "").isalnum() else f"{self._path}[{name}]"

    def names(self) -> Iterator[str]:
        """Yield the fields that nothing has read. They may be read meanwhile."""
        yield from list(self._values)

    def value(self, name: str) -> Any:
        """Return a value of any type, None for an absent one. Like every reader, it takes the field."""
        return self._values.pop(name, None)

    def text(self, name: str) -> str:
        value = self.value(name)
        if value is None or isinstance(value, str):
            return value or ""
        self.error(name, f"must be text, not {value!r}" if isinstance(value, int | float) else "must be text")
        return ""

    def integer(self, name: str) -> int | None:
        value = self.value(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        self.error(name, "must be a whole number")
        return None

    def section(self, name: str) -> Section:
        path = self.path(name)
        return Section(self.value(name), path, self.report)

    def sections(self, name: str) -> list[Section]:
        """Return the items of a list of objects."""
        return [Section(item, path, self.report) for path, item in self._items(name)]

    def mappings(self, name: str) -> list[dict[str, Any]]:
        """Return the items of a list of objects as they are."""
        return [item.take(list(item.names())) for item in self.sections(name)]

    def texts(self, name: str) -> list[str]:
        """Return the items of a list of texts."""
        items = list(self._items(name))
        for path, item in items:
            if not isinstance(item, str):
                self.report.error(path, "must be text: quote it")
        return [item for _, item in items if isinstance(item, str)]

    def take(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the given fields as they are, without those that are absent or empty."""
        return filled({name: self.value(name) for name in names})

    def discard(self, *names: str) -> None:
        """Take fields whose meaning every Serving has."""
        for name in names:
            self.value(name)

    def drop(self, description: str, *names: str) -> None:
        """Take fields, with a warning for each one that is set."""
        for name in names:
            if self.value(name):
                self.report.warn(self.path(name), description)

    def close(self, description: str = _UNSUPPORTED) -> None:
        """Warn of every field that nothing has read."""
        self.drop(description, *self.names())

    def error(self, name: str, description: str) -> None:
        self.report.error(self.path(name), description)

    def warn(self, name: str, description: str) -> None:
        self.report.warn(self.path(name), description)

    def _items(self, name: str) -> Iterator[tuple[str, Any]]:
        value = self.value(name)
        if value is not None and not isinstance(value, list):
            self.error(name, "must be a list")
            return
        for index, item in enumerate(value or ()):
            yield f"{self.path(name)}[{index}]", item


def filled(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields without those that are absent or empty."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}
