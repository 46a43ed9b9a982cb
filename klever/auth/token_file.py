"""The rule of one token, for a process that must notice when the token file is replaced."""

from __future__ import annotations

import os
from pathlib import Path

from klever.auth import Access
from klever.auth.token import token_access
from klever.errors import FailedPreconditionError

__all__ = ["TokenFile"]


class TokenFile:
    """Reads a token file, and reads it again after it was replaced. Anonymous callers are not allowed.

    While the file is missing or empty, its last token stays valid.
    """

    def __init__(self, path: Path) -> None:
        """Read the file. Raises `FailedPreconditionError` if it cannot be read or is empty."""
        self._path = path
        try:
            self._seen = self._version()
            self._access = self._read()
        except OSError as error:
            raise FailedPreconditionError(f"cannot read the token file {path}: {error.strerror}") from error

    def access(self) -> Access:
        """Return the rule of the file's current token."""
        try:
            version = self._version()
            if version != self._seen:
                self._access = self._read()
                self._seen = version
        except (OSError, FailedPreconditionError):
            return self._access  # the file is being replaced
        return self._access

    def _version(self) -> tuple[int, int, int]:
        status = os.stat(self._path)  # noqa: PTH116 - for every request, and faster than Path.stat
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _read(self) -> Access:
        return token_access(self._path.read_text().strip(), anonymous=False)
