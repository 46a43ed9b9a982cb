"""What handlers read of a request: who calls, the body in bounded pieces, the page wanted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from aiohttp import ClientPayloadError, web
from prometheus_client import Counter

from klever.auth import Caller
from klever.errors import DeadlineError, InvalidError, UnavailableError
from klever.oci.digest import Digest
from klever.registry.uploads import Parts

__all__ = ["Call", "Page", "body_parts", "digest_of", "page_of", "read_body"]

_IDLE: Final = 60.0  # seconds that a client may send nothing in the middle of a body
_BLOCK: Final = 512 << 10


@dataclass(frozen=True, slots=True)
class Call:
    """An authorized call. `actor` is empty with a bearer token, `repository` for a call that names none."""

    actor: str
    repository: str
    caller: Caller


@dataclass(frozen=True, slots=True)
class Page:
    """At most `limit` entries beyond `after`."""

    after: str
    limit: int

    def link(self, path: str, last: str, **query: str) -> dict[str, str]:
        """The header that leads to the page beyond `last` (RFC 8288, as the distribution specification wants it)."""
        return {"Link": f'<{path}?{urlencode({**query, "n": self.limit, "last": last})}>; rel="next"'}


async def body_parts(request: web.Request, received: Counter) -> AsyncIterator[Parts]:
    """The body, in blocks of some 512 KiB; raises `UnavailableError` if the client goes away in the middle."""
    parts: list[bytes] = []
    size = 0
    while part := await _read(request):
        parts.append(part)
        size += len(part)
        received.inc(len(part))
        if size >= _BLOCK:
            yield parts
            parts, size = [], 0
    if parts:
        yield parts


async def read_body(request: web.Request, received: Counter, take: Callable[[int], None]) -> bytes:
    """The whole body; `take` is told of the bytes before they are kept, and raises if they are too many."""
    body = bytearray()
    while part := await _read(request):
        take(len(part))
        body += part
    received.inc(len(body))
    return bytes(body)


def digest_of(request: web.Request) -> Digest:
    """The digest in the query; raises `InvalidError`."""
    text = request.query.get("digest")
    if text is None:
        raise InvalidError("the query names no digest", reason="DIGEST_INVALID")
    return Digest.parse(text)


def page_of(request: web.Request, most: int) -> Page:
    """`n` (`most` at the most) and `last` of the query; raises `InvalidError`."""
    text = request.query.get("n", str(most))
    if not (text.isascii() and text.isdigit()):
        raise InvalidError(f"n={text!r} is not a number", reason="PAGINATION_NUMBER_INVALID")
    return Page(request.query.get("last", ""), min(int(text[:9]), most))


async def _read(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(_IDLE):
            return await request.content.readany()
    except TimeoutError as error:
        raise DeadlineError(f"the client sent nothing for {_IDLE:.0f} s") from error
    except (ConnectionError, ClientPayloadError, web.RequestPayloadError) as error:
        raise UnavailableError("the client went away", reason="CLIENT_CLOSED") from error
