"""Recognizes files that can be code, by their names and their first bytes."""

from __future__ import annotations

import pickletools
import re
from pathlib import PurePosixPath
from typing import Final

__all__ = ["by_content", "by_name", "is_marked_pickle", "is_named_pickle", "may_be_pickle"]

_NAMES: Final = {
    "Python code": (".py", ".pyc", ".pyo", ".pyw", ".pyd", ".pth", ".egg", ".whl", ".ipynb"),
    "a native library or program": (".so", ".dll", ".dylib", ".exe", ".a", ".o", ".ko"),
    "a script": (".sh", ".bash", ".zsh", ".csh", ".ps1", ".bat", ".cmd", ".pl", ".rb", ".lua", ".js", ".mjs", ".r"),
    "Java code": (".jar", ".class", ".war", ".jmod"),
}
_BY_SUFFIX: Final = {suffix: why for why, suffixes in _NAMES.items() for suffix in suffixes}
_VERSIONED_LIBRARY: Final = re.compile(r"\.so(\.\d+)+$")
_MAGIC: Final = (
    (b"\x7fELF", "a native library or program"),
    (b"MZ", "a native library or program"),
    (b"\xfe\xed\xfa\xce", "a native library or program"),
    (b"\xfe\xed\xfa\xcf", "a native library or program"),
    (b"\xce\xfa\xed\xfe", "a native library or program"),
    (b"\xcf\xfa\xed\xfe", "a native library or program"),
    (b"!<arch>\n", "a native library or program"),
    (b"\xca\xfe\xba\xbe", "Java code"),
    (b"\0asm", "WebAssembly"),
    (b"#!", "a script"),
    (b"\x28\xb5\x2f\xfd", "a compressed stream that cannot be inspected"),
    (b"7z\xbc\xaf\x27\x1c", "an archive that cannot be inspected"),
    (b"Rar!", "an archive that cannot be inspected"),
)
_TAR: Final = (257, b"ustar")
_PYC: Final = (2, b"\r\n")
"""Compiled Python begins with two bytes of a version, then these."""
_PICKLES: Final = frozenset((".pickle", ".pkl", ".p", ".joblib", ".pt", ".dill", ".sav"))
_OPCODES: Final = frozenset(opcode.code for opcode in pickletools.opcodes)
_PROTOCOL: Final = b"\x80"
_HIGHEST_PROTOCOL: Final = 5


def by_name(path: str) -> str:
    """Return why a file is code by its name; empty if it is not."""
    name = PurePosixPath(path).name.lower()
    if _VERSIONED_LIBRARY.search(name):
        return "a native library or program"
    return _BY_SUFFIX.get(PurePosixPath(name).suffix, "")


def by_content(head: bytes) -> str:
    """Return why a file is code by its first 512 bytes; empty if it is not."""
    for magic, why in _MAGIC:
        if head.startswith(magic):
            return why
    if head[_PYC[0] : _PYC[0] + 2] == _PYC[1] and len(head) >= 16 and head[4:8] in _PYC_FLAGS:
        return "Python code"
    return "an archive that cannot be inspected" if head[_TAR[0] :].startswith(_TAR[1]) else ""


_PYC_FLAGS: Final = tuple(flags.to_bytes(4, "little") for flags in (0, 1, 3))
"""The flags of PEP 552: timestamp, unchecked hash, checked hash."""


def is_named_pickle(path: str) -> bool:
    return PurePosixPath(path.lower()).suffix in _PICKLES


def may_be_pickle(head: bytes) -> bool:
    """Whether an unpickler accepts these first bytes. A pickle need not state its protocol."""
    return head[:1].decode("latin-1") in _OPCODES


def is_marked_pickle(head: bytes) -> bool:
    """Whether it begins like every pickle of protocol 2 or later that `pickle` writes."""
    return head[:1] == _PROTOCOL and len(head) > 1 and head[1] <= _HIGHEST_PROTOCOL
