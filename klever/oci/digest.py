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
    """A valid `algorithm:hex`. It is a `str`, for use in JSON, URLs and messages.

    Any other text raises `InvalidError`. The supported algorithms are sha256 and sha512.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        algorithm, _, encoded = text.partition(":")
        length = _HEX_LENGTH.get(algorithm)
        if length is None:
            raise InvalidError(
                f"invalid digest {text!r}: the algorithm must be sha256 or sha512", reason="DIGEST_INVALID"
            )
        if len(encoded) != length or not _HEX.fullmatch(encoded):
            raise InvalidError(
                f"invalid digest {text!r}: {algorithm} must have {length} lower-case hex digits",
                reason="DIGEST_INVALID",
            )
        return super().__new__(cls, text)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a digest. Raises `InvalidError`."""
        return cls(text)

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Return the sha256 digest of `content`."""
        return cls.of_hash(hashlib.sha256(content))

    @classmethod
    def of_hash(cls, finished: _Hash) -> Self:
        """Return the digest of a hash object that was fed the content."""
        return cls(f"{finished.name}:{finished.hexdigest()}")

    @property
    def algorithm(self) -> str:
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        return self.partition(":")[2]

    def hasher(self) -> _Hash:
        """Return a new hash object of this digest's algorithm, to verify a stream."""
        return hashlib.new(self.algorithm)
