"""A blob's file as an answer, moved by the kernel, and complete only if the file matches its digest."""

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
"""Last bytes of an answer that wait for the check; they are all of a small one."""

_log = logging.getLogger(__name__)


class BlobResponse(web.FileResponse):
    """The file of `blob`, or the range of it that a request asks for.

    While the blob's check runs, everything but the last bytes is sent beside it. They follow when the whole file is
    known to match its digest, whatever the range; otherwise the connection breaks, and no client can take what it
    received for complete.
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
            raise ConnectionResetError("the client went away")
        loop, held = asyncio.get_running_loop(), min(count, _HELD)
        if count > held:
            await loop.sendfile(transport, fobj, offset, count - held)
        if not await _passes(self._check):
            transport.abort()
            raise ConnectionResetError("the blob is damaged")
        await loop.sendfile(transport, fobj, offset + count - held, held)
        await self.write_eof()
        return writer


async def _passes(check: asyncio.Task[bool]) -> bool:
    try:
        return await asyncio.shield(check)
    except KleverError as error:
        _log.warning("a blob could not be verified: %s", error)
        return False
