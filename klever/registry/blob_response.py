"""A blob's file as a response. The kernel sends it, and it completes only if the file matches its digest."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import IO, Any, Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from klever.errors import KleverError
from klever.registry.blobs import Blob

__all__ = ["BlobResponse"]

_HELD: Final = 256 << 10
"""The last bytes of a response wait for the check. A small response waits as a whole."""
_SILENCE: Final = 10.0
"""Seconds between bytes while the check runs, so that no peer or proxy times out."""

_log = logging.getLogger(__name__)


class BlobResponse(web.FileResponse):
    """The file of `blob`, or the range of it that a request asks for.

    While the blob's check runs, all bytes but the last ones are sent. The last ones follow when the whole file is known
    to match its digest, whatever the range. Otherwise the connection breaks, so that no client takes the response for
    complete.
    """

    def __init__(self, blob: Blob, headers: Mapping[str, str]) -> None:
        super().__init__(blob.path, headers=headers)
        self._check = blob.check

    async def _sendfile(self, request: web.BaseRequest, fobj: IO[Any], offset: int, count: int) -> AbstractStreamWriter:
        """Override of aiohttp's hook: headers and the body."""
        if self._check is None:
            return await super()._sendfile(request, fobj, offset, count)
        writer = await web.StreamResponse.prepare(self, request)
        transport = request.transport
        if writer is None or transport is None:
            raise ConnectionResetError("the client closed the connection")
        body = _Body(transport, fobj, offset, count)
        await body.send(count - _HELD)
        while not await _is_finished(self._check):
            await body.send(min(1, body.left - 1))  # keeps the client and proxies from timing out
        if not _passed(self._check):
            transport.abort()
            raise ConnectionResetError("the blob is damaged")
        await body.send(body.left)
        await self.write_eof()
        return writer


class _Body:
    """The `left` bytes of an open file from `offset` on, sent piece by piece."""

    def __init__(self, transport: asyncio.Transport, file: IO[Any], offset: int, left: int) -> None:
        self._transport = transport
        self._file = file
        self._offset = offset
        self.left = left

    async def send(self, count: int) -> None:
        if count > 0:
            await asyncio.get_running_loop().sendfile(self._transport, self._file, self._offset, count)
            self._offset += count
            self.left -= count


async def _is_finished(check: asyncio.Task[bool]) -> bool:
    done, _ = await asyncio.wait([check], timeout=_SILENCE)
    return bool(done)


def _passed(check: asyncio.Task[bool]) -> bool:
    if check.cancelled():
        return False
    try:
        return check.result()
    except KleverError as error:
        _log.warning("a blob could not be verified: %s", error)
        return False
