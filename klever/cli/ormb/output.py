"""The output of the original tool, with the digest of the manifest beside that of the content."""

from __future__ import annotations

from klever.artifacts.model import SavedModel

_UNITS = "KMGTPE"

__all__ = ["human_size", "print_model"]


def print_model(model: SavedModel) -> None:
    """Print reference, digests, size and format. `pull` and `deploy` take the digest of the manifest."""
    print(f"ref:     {model.reference}")
    print(f"digest:  {model.manifest.digest}")
    print(f"content: {model.digest}")
    print(f"size:    {human_size(model.size)}")
    print(f"format:  {model.format}")


def human_size(size: int) -> str:
    """Return a size such as `1.5 KiB`; plain bytes below 1024."""
    if size < 1024:
        return f"{size} B"
    exponent = min((size.bit_length() - 1) // 10, len(_UNITS))
    return f"{size / 1024**exponent:.1f} {_UNITS[exponent - 1]}iB"
