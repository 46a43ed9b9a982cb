"""Blobs (distribution specification 1.1, "Pulling blobs" and "Deleting Blobs")."""

from __future__ import annotations

from aiohttp import web

from klever.oci import mediatypes
from klever.oci.digest import Digest
from klever.registry.blob_response import BlobResponse
from klever.registry.blobs import Blobs
from klever.registry.requests import Call

__all__ = ["BlobHandlers"]


class BlobHandlers:
    """The handlers of /v2/NAME/blobs/DIGEST."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def head(self, request: web.Request, call: Call) -> web.Response:
        digest = _digest(request)
        blob = await self._blobs.find_to_keep(call.repository, digest)
        headers = _headers(digest) | {"Content-Length": str(blob.size), "Accept-Ranges": "bytes"}
        return web.Response(headers=headers)

    async def get(self, request: web.Request, call: Call) -> web.FileResponse:
        """Return the file, or the Range of it."""
        digest = _digest(request)
        return BlobResponse(await self._blobs.find(call.repository, digest), _headers(digest))

    async def delete(self, request: web.Request, call: Call) -> web.Response:
        await self._blobs.delete(call.repository, _digest(request))
        return web.Response(status=202)


def _digest(request: web.Request) -> Digest:
    return Digest.parse(request.match_info["digest"])


def _headers(digest: Digest) -> dict[str, str]:
    return {"Content-Type": mediatypes.OCTET_STREAM, "Docker-Content-Digest": digest}
