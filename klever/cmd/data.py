"""The data directory: its paths, its lock and its token."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from klever.cmd.holders import recorded
from klever.disk import disk_errors, write_private
from klever.errors import FailedPreconditionError

__all__ = ["DataDirectory", "default_cache", "default_data"]

_NOT_PLAIN: Final = re.compile(r"[^\w@%+=:,./-]", re.ASCII)
"""Characters that Triton's Python backend does not support in paths: unquoted in `bash -c`, and not ASCII."""
_MAX_SOCKET_PATH = 107
"""The longest path of a Unix socket in bytes (unix(7): sun_path has 108, the last one is 0)."""


def default_data() -> Path:
    """Return $KLEVER_DATA, else klever below XDG_DATA_HOME or ~/.local/share."""
    given = os.environ.get("KLEVER_DATA")
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(given) if given else Path(base) / "klever"


def default_cache() -> Path:
    """Return the cache that all data directories share: klever below XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "klever"


def _fits(directory: Path) -> bool:
    """Whether the path of a socket in the directory is short enough."""
    return len(os.fsencode(directory)) + len("/replicas/0123456789/metrics.sock") <= _MAX_SOCKET_PATH


@dataclass(frozen=True, slots=True)
class DataDirectory:
    root: Path

    @property
    def database(self) -> Path:
        return self.root / "klever.db"

    @property
    def registry(self) -> Path:
        return self.root / "registry"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def metadata(self) -> Path:
        """The cache of the metadata of versions."""
        return self.root / "metadata"

    @property
    def processes(self) -> Path:
        return self.root / "processes"

    @property
    def envoy(self) -> Path:
        return self.root / "envoy"

    @property
    def metrics_file(self) -> Path:
        """The URL of the metrics of the platform that uses the directory, or that used it last."""
        return self.root / "metrics"

    @property
    def token_file(self) -> Path:
        return self.root / "token"

    @property
    def tls(self) -> Path:
        """The directory of the certificate that `--tls-self-signed` makes, and its key."""
        return self.root / "tls"

    @property
    def sockets(self) -> Path:
        """A private directory. It is outside the data directory if the path would be too long for a socket."""
        name = f"klever-{os.getuid()}-{hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]}"
        places = (self.root / "sockets", Path(tempfile.gettempdir()) / name)
        return next((place for place in places if _fits(place)), Path("/tmp") / name)  # noqa: S108 - checked for its owner

    @property
    def _parts(self) -> tuple[tuple[Path, int], ...]:
        """Directories with their modes. Sandboxed processes pass some as users of their own. Nobody else lists them."""
        return (self.registry, 0o700), (self.models, 0o711), (self.processes, 0o711)

    def prepare(self) -> None:
        """Create the directories, of which other users can list none, also if the data directory is open to them.

        Raises `FailedPreconditionError` if that fails.
        """
        if wrong := _NOT_PLAIN.search(str(self.root)):
            raise FailedPreconditionError(
                f"cannot use {self.root} for data: its path contains {wrong[0]!r}, which Triton does not "
                "support; choose another --data"
            )
        try:
            for directory in (self.root, self.sockets):
                directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            found = self.sockets.lstat()  # a link of another user would lead anywhere
            if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
                raise FailedPreconditionError(f"{self.sockets} belongs to another user, or is not a directory")
            self.sockets.chmod(0o700)
            (self.sockets / "registry").mkdir(exist_ok=True)
            for directory, mode in self._parts:
                directory.mkdir(exist_ok=True)
                directory.chmod(mode)
            # A sandboxed task enters this directory as another user. The directory above keeps out all others.
            (self.sockets / "registry").chmod(0o711)
        except OSError as error:
            raise FailedPreconditionError(f"cannot use {self.root} for data: {error.strerror}") from error

    @property
    def holders(self) -> Path:
        """The directory of the records of its holders (`klever.cmd.holders`)."""
        return self.root / "holders"

    @contextmanager
    def lock(self, *, shared: bool = False) -> Iterator[None]:
        """Hold the directory, alone or shared, until the context ends or `klever down` stops this process.

        Raises `FailedPreconditionError` if another process holds it and one of the two does not share it.
        """
        with (self.root / "lock").open("w") as file:
            try:
                fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except OSError as error:
                raise FailedPreconditionError(
                    f"{self.root} is in use by another `klever up`: stop it with `klever down`, or choose "
                    "another --data",
                    reason="DATA_LOCKED",
                ) from error
            with recorded(self.holders, alone=not shared):
                yield

    def token(self) -> str:
        """Return the token. Create its file at the first start, with mode 0600.

        Raises `FailedPreconditionError` for an empty token, which would admit everybody, and `ExhaustedError`.
        """
        with disk_errors(self.token_file):
            if not self.token_file.exists():
                write_private(self.token_file, secrets.token_urlsafe(24) + "\n")
            token = self.token_file.read_text().strip()
        if not token:
            raise FailedPreconditionError(f"{self.token_file} is empty: remove it to create a new token")
        return token
