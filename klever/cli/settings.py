"""Which server, as whom: flags, then KLEVER_SERVER, KLEVER_NAMESPACE, KLEVER_TOKEN, then ~/.config/klever/config.yaml.

The file is written by `klever up` (mode 0600) and may be edited; its keys are server, namespace and token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from klever.errors import FieldViolation, InvalidError

__all__ = ["DEFAULT_SERVER", "Settings", "config_path", "read_config"]

DEFAULT_SERVER: Final = "127.0.0.1:8080"
_DEFAULTS: Final = {"server": DEFAULT_SERVER, "namespace": "default", "token": ""}


@dataclass(frozen=True, slots=True)
class Settings:
    """`server` is HOST:PORT, or a URL."""

    server: str
    namespace: str
    token: str = field(repr=False)

    @classmethod
    def load(cls, environ: Mapping[str, str], **flags: str | None) -> Self:
        """`flags` are server, namespace and token, None or empty where not given.

        Raises `InvalidError` that names the file and key if the file is not as it should be, or what cannot be one.
        """
        given = {name: flags.get(name) or environ.get(f"KLEVER_{name.upper()}", "") for name in _DEFAULTS}
        if not all(given.values()):
            file = read_config(config_path(environ))
            given = {name: value or file.get(name) or _DEFAULTS[name] for name, value in given.items()}
        scheme, separator, _ = given["server"].partition("://")
        if (separator and scheme not in ("http", "https")) or not _has_host(given["server"]):
            raise InvalidError(f"server {given['server']!r} is neither HOST:PORT nor a URL of http or https")
        if not given["token"].isascii() or not given["token"].isprintable():
            raise InvalidError("the token holds characters that no token has: see `token` in the data directory")
        return cls(**given)

    @property
    def url(self) -> str:
        """http://HOST:PORT; https only where the server says so."""
        return self.server if "://" in self.server else f"http://{self.server}"


def _has_host(server: str) -> bool:
    """Whether a host is named, and no port that none can have."""
    try:
        parts = urlsplit(server if "://" in server else f"//{server}")
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def config_path(environ: Mapping[str, str]) -> Path:
    """Where the file is: below XDG_CONFIG_HOME, else ~/.config."""
    base = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or Path.home()) / ".config"
    return Path(base) / "klever" / "config.yaml"


def read_config(path: Path) -> dict[str, str]:
    """Return the settings of a file, none if there is none; raises `InvalidError` that names it and the key."""
    if not path.exists():
        return {}
    import yaml

    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader) or {}  # noqa: S506 - strings only
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidError(f"{path} is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise InvalidError(f"{path} must hold server, namespace, token")
    wrong = next(
        (name for name, value in document.items() if name not in _DEFAULTS or not isinstance(value, str)), None
    )
    if wrong is not None:
        raise InvalidError(violations=(FieldViolation(f"{path}: {wrong}", "must be one of server, namespace, token"),))
    return document
