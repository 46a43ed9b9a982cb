"""Blob uploads (distribution specification 1.1, "Pushing Blobs" and "Mounting a blob from another repository")."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web

from klever.auth import Access
from klever.errors import InvalidError, KleverError, PermissionDeniedError, UnauthenticatedError
from klever.limits import Limits
from klever.oci.digest import Digest
from klever.oci.reference import is_repository
from klever.registry.auth import repository_resource
from klever.registry.blobs import Blobs
from klever.registry.metrics import Metrics
from klever.registry.requests import Call, body_parts, read_digest
from klever.registry.uploads import Upload, too_large

__all__ = ["UploadHandlers"]

_CONTENT_RANGE: Final = re.compile(r"(?:bytes[ =])?(\d{1,19})-(\d{1,19})(?:/.*)?")


class UploadHandlers:
    """The handlers of /v2/NAME/blobs/uploads/."""

    def __init__(self, blobs: Blobs, access: Access, metrics: Metrics, limits: Limits) -> None:
        self._blobs = blobs
        self._access = access
        self._metrics = metrics
        self._limit = limits.blob_bytes

    async def start(self, request: web.Request, call: Call) -> web.Response:
        """POST: mount a blob of another repository, receive a whole blob, or open a session."""
        if "mount" in request.query:
            digest = Digest.parse(request.query["mount"])
            if await self._mount(request, call, digest):
                return _created(call.repository, digest)
        elif "digest" in request.query:
            return await self._receive_whole(request, call, read_digest(request))
        return _state(202, call.repository, await self._blobs.uploads.start(call.repository))

    async def status(self, request: web.Request, call: Call) -> web.Response:
        """GET: return the number of bytes that the session has received."""
        return _state(204, call.repository, await self._find(request, call))

    async def append(self, request: web.Request, call: Call) -> web.Response:
        """PATCH: append one chunk."""
        upload = await self._find(request, call)
        async with upload.lock:
            await self._receive(request, upload)
        return _state(202, call.repository, upload)

    async def finish(self, request: web.Request, call: Call) -> web.Response:
        """PUT: append the last chunk, if any, and finish with the digest of the whole blob."""
        digest = read_digest(request)
        upload = await self._find(request, call)
        async with upload.lock:
            await self._receive(request, upload)
            await self._blobs.finish(call.repository, upload, digest)
        return _created(call.repository, digest)

    async def cancel(self, request: web.Request, call: Call) -> web.Response:
        """DELETE: cancel the session."""
        await self._blobs.uploads.discard(await self._find(request, call))
        return web.Response(status=204)

    async def _find(self, request: web.Request, call: Call) -> Upload:
        return await self._blobs.uploads.find(call.repository, request.match_info["upload"])

    async def _mount(self, request: web.Request, call: Call, digest: Digest) -> bool:
        """Mount only from a named repository that the caller may read: a digest alone gives access to no blob."""
        source = request.query.get("from", "")
        if not is_repository(source):
            return False
        try:
            self._access.require(call.caller, "pull", repository_resource(source))
        except (UnauthenticatedError, PermissionDeniedError):
            return False
        return await self._blobs.mount(source, call.repository, digest)

    async def _receive_whole(self, request: web.Request, call: Call, digest: Digest) -> web.Response:
        upload = await self._blobs.uploads.start(call.repository)
        try:
            await self._receive(request, upload)
        except KleverError:
            await self._blobs.uploads.discard(upload)
            raise
        await self._blobs.finish(call.repository, upload, digest)
        return _created(call.repository, digest)

    async def _receive(self, request: web.Request, upload: Upload) -> None:
        _check_range(request, upload)
        if upload.offset + (request.content_length or 0) > self._limit:
            raise too_large(self._limit)
        with self._metrics.uploads.track_inprogress():
            admit = self._blobs.room(upload.repository)
            admit(request.content_length or 0)  # before the body is read
            await upload.append(body_parts(request, self._metrics.received), self._limit, admit)


def _check_range(request: web.Request, upload: Upload) -> None:
    """Raise `InvalidError` (416) unless the chunk begins where the upload ends."""
    header = request.headers.get("Content-Range")
    if header is None:
        return
    chunk = _CONTENT_RANGE.fullmatch(header)
    if chunk is None or int(chunk[1]) != upload.offset:
        raise InvalidError(
            f"the chunk {header} must begin at byte {upload.offset}, where the upload ends",
            reason="BLOB_UPLOAD_INVALID",
        )
    length = int(chunk[2]) - int(chunk[1]) + 1
    if request.content_length not in {None, length}:
        raise InvalidError(
            f"the chunk {header} has {request.content_length} bytes, not {length}", reason="BLOB_UPLOAD_INVALID"
        )


def _state(status: int, repository: str, upload: Upload) -> web.Response:
    """Return the response for an upload. `Range: 0-0` means zero bytes or one, as in all registries."""
    headers = {
        "Location": f"/v2/{repository}/blobs/uploads/{upload.identifier}",
        "Range": f"0-{max(upload.offset - 1, 0)}",
        "Docker-Upload-UUID": upload.identifier,
    }
    return web.Response(status=status, headers=headers)


def _created(repository: str, digest: Digest) -> web.Response:
    headers = {"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": digest}
    return web.Response(status=201, headers=headers)
