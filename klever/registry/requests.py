"""Reads requests for the handlers: the caller, the body in bounded pieces, the requested page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from aiohttp import ClientPayloadError, web
from prometheus_client import Counter

from klever.auth import Caller
from klever.errors import DeadlineError, InvalidError, UnavailableError
from klever.oci.digest import Digest
from klever.registry.uploads import Parts

__all__ = ["Call", "Page", "body_parts", "read_body", "read_digest", "read_page", "send"]

_IDLE: Final = 60.0  # seconds that a client may pause within a body that it sends or reads
_BLOCK: Final = 512 << 10
_PART: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Call:
    """An authorized call. `actor` is empty with a bearer token, `repository` if the call names none."""

    actor: str
    repository: str
    caller: Caller


@dataclass(frozen=True, slots=True)
class Page:
    """A page of at most `limit` entries after `after`."""

    after: str
    limit: int

    def link(self, path: str, last: str, **query: str) -> dict[str, str]:
        """Return the header that links to the page after `last` (RFC 8288 and the distribution specification)."""
        return {"Link": f'<{path}?{urlencode({**query, "n": self.limit, "last": last})}>; rel="next"'}


async def body_parts(request: web.Request, received: Counter) -> AsyncIterator[Parts]:
    """Yield the body in blocks of about 512 KiB. Raises `UnavailableError` if the client disconnects."""
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
    """Return the whole body. `take` gets the number of bytes before they are kept, and raises if they are too many."""
    body = bytearray()
    while part := await _read(request):
        take(len(part))
        body += part
    received.inc(len(body))
    return bytes(body)


async def send(request: web.Request, content: bytes, headers: Mapping[str, str]) -> web.StreamResponse:
    """Send a response part by part, as the client reads it. Break the connection if it reads nothing for a minute."""
    response = web.StreamResponse(headers={**headers, "Content-Length": str(len(content))})
    await response.prepare(request)
    try:
        for start in range(0, len(content), _PART):
            async with asyncio.timeout(_IDLE):
                await response.write(content[start : start + _PART])
    except (ConnectionError, TimeoutError):
        if request.transport is not None:
            request.transport.abort()
    return response


def read_digest(request: web.Request) -> Digest:
    """Return the digest in the query. Raises `InvalidError`."""
    text = request.query.get("digest")
    if text is None:
        raise InvalidError("the query must contain digest=DIGEST", reason="DIGEST_INVALID")
    return Digest.parse(text)


def read_page(request: web.Request, most: int) -> Page:
    """Return the page of the query (`n`, at most `most`, and `last`). Raises `InvalidError`."""
    text = request.query.get("n", str(most))
    if not (text.isascii() and text.isdigit()):
        raise InvalidError(f"n must be a number, not {text!r}", reason="PAGINATION_NUMBER_INVALID")
    return Page(request.query.get("last", ""), min(int(text[:9]), most))


async def _read(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(_IDLE):
            return await request.content.readany()
    except TimeoutError as error:
        raise DeadlineError(f"the client sent no data for {_IDLE:.0f} s") from error
    except (ConnectionError, ClientPayloadError, web.RequestPayloadError) as error:
        raise UnavailableError("the client closed the connection", reason="CLIENT_CLOSED") from error
