"""The credentials file, in Docker's form: `{"auths": {HOST: {"auth": base64(USER:PASSWORD)}}}`, mode 0600."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from klever.disk import write_private
from klever.errors import InvalidError, NotFoundError
from klever.oci.registries import Credentials

__all__ = ["CredentialsFile"]


class CredentialsFile:
    """The file at `path`. Entries of other programs stay."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, host: str) -> Credentials | None:
        """Return the credentials of `host`. Raises `InvalidError` if the file is damaged."""
        entry = self._read().get("auths", {}).get(host)
        encoded = entry.get("auth", "") if isinstance(entry, dict) else ""
        if not encoded:
            return None
        try:
            username, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError as error:
            raise InvalidError(f"{self._path}: auths[{host}].auth must be base64 of USER:PASSWORD") from error
        return Credentials(username, password) if colon else None

    def put(self, host: str, credentials: Credentials) -> None:
        pair = f"{credentials.username}:{credentials.password}"
        document = self._read()
        document.setdefault("auths", {})[host] = {"auth": base64.b64encode(pair.encode()).decode()}
        self._write(document)

    def remove(self, host: str) -> None:
        """Remove the credentials of `host`. Raises `NotFoundError` if there are none."""
        document = self._read()
        if document.get("auths", {}).pop(host, None) is None:
            raise NotFoundError(f"not logged in to {host}")
        self._write(document)

    def _read(self) -> dict[str, Any]:
        try:
            document = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise InvalidError(f"{self._path} is not valid JSON: {error}") from error
        if not isinstance(document, dict) or not isinstance(document.get("auths", {}), dict):
            raise InvalidError(f"{self._path}: auths must be an object")
        return document

    def _write(self, document: dict[str, Any]) -> None:
        write_private(self._path, json.dumps(document, indent=2) + "\n")
