"""Content digests (OCI image specification 1.1, descriptor.md, "Digests")."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, Self

from klever.errors import InvalidError

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["Digest"]

_HEX_LENGTH: Final = {"sha256": 64, "sha512": 128}
_HEX: Final = re.compile(r"[0-9a-f]+")


class Digest(str):
    """A valid `algorithm:hex`; it is a `str`, so that it stands in JSON, URLs and messages as it is.

    Making one from anything else raises `InvalidError`. sha256 and sha512 are known.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        algorithm, _, encoded = text.partition(":")
        length = _HEX_LENGTH.get(algorithm)
        if length is None:
            raise InvalidError(f"digest {text!r}: the algorithm is neither sha256 nor sha512", reason="DIGEST_INVALID")
        if len(encoded) != length or not _HEX.fullmatch(encoded):
            raise InvalidError(
                f"digest {text!r}: {algorithm} wants {length} lower-case hex digits", reason="DIGEST_INVALID"
            )
        return super().__new__(cls, text)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The digest that `text` is; raises `InvalidError`."""
        return cls(text)

    @classmethod
    def of(cls, content: bytes) -> Self:
        """The sha256 digest of `content`."""
        return cls.of_hash(hashlib.sha256(content))

    @classmethod
    def of_hash(cls, finished: _Hash) -> Self:
        """The digest that a hash object fed with the content has reached."""
        return cls(f"{finished.name}:{finished.hexdigest()}")

    @property
    def algorithm(self) -> str:
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        return self.partition(":")[2]

    def hasher(self) -> _Hash:
        """A fresh hash object of this digest's algorithm, to verify content while it streams."""
        return hashlib.new(self.algorithm)
