"""The table of dialects. A dialect is a module and a row here, or comes from a plugin."""

from __future__ import annotations

from typing import Any, Final

from klever.artifacts.dialect import Dialect
from klever.artifacts.dialects.ormb import Ormb
from klever.errors import InvalidError
from klever.oci.manifest import Manifest
from klever.plugins import Table

__all__ = ["DEFAULT", "DIALECTS", "config_media_types", "detect", "get"]

DEFAULT: Final[Dialect] = Ormb()
"""The dialect in which models are saved."""


def _claims(row: Any) -> tuple[str, ...]:
    if not isinstance(row, Dialect):
        raise TypeError(f"expected a klever.artifacts.dialect.Dialect, not {row!r}")
    return (row.name, *row.config_media_types)


_BUILT_IN: Final = {dialect.name: dialect for dialect in (DEFAULT,)}

DIALECTS: Final = Table[str, Dialect]("klever.dialects", _BUILT_IN, _claims)
"""The dialects by name, including those of plugins. No two of them share a media type."""

# Other kinds of artifacts, for messages: the prefix of the config's media type, and a name.
_OTHERS: Final = (
    ("application/vnd.cncf.model.", "a ModelPack artifact"),
    ("application/vnd.cnai.model.", "a ModelPack artifact of an early draft"),
    ("application/vnd.kitops.modelkit.", "a KitOps ModelKit"),
    ("application/vnd.oci.image.config.", "a container image"),
    ("application/vnd.docker.container.image.", "a container image"),
    ("application/vnd.cncf.helm.config.", "a Helm chart"),
)


def get(name: str) -> Dialect:
    """Return a dialect. Raises `InvalidError` for an unknown name."""
    try:
        return DIALECTS[name]
    except KeyError as error:
        raise InvalidError(f"unknown dialect {name!r}: must be one of {', '.join(DIALECTS)}") from error


def config_media_types() -> tuple[str, ...]:
    """Return the media types of the configs of all dialects."""
    return tuple(media_type for dialect in DIALECTS.values() for media_type in dialect.config_media_types)


def detect(manifest: Manifest, what: str) -> Dialect:
    """Return the dialect of `manifest`. If it is not a model, raises `InvalidError` that says what `what` is."""
    for dialect in DIALECTS.values():
        if dialect.detect(manifest):
            return dialect
    media_type = manifest.config.media_type
    kind = next((kind for prefix, kind in _OTHERS if media_type.startswith(prefix)), "not a known kind of model")
    raise InvalidError(
        f"{what} is {kind} (config media type {media_type or 'missing'}); supported dialects: {', '.join(DIALECTS)}",
        reason="NOT_A_MODEL",
    )
