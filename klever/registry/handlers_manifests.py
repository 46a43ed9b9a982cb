"""Manifests (distribution specification 1.1, "Pulling manifests", "Pushing Manifests", "Deleting Manifests")."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from aiohttp import web

from klever.auth import ANONYMOUS
from klever.budget import SMALL, Budget
from klever.errors import ExhaustedError, InvalidError
from klever.limits import Limits
from klever.oci.digest import Digest
from klever.registry.metrics import Metrics
from klever.registry.records import Precondition, StoredManifest
from klever.registry.registry import Registry
from klever.registry.requests import Call, read_body, send

__all__ = ["ManifestHandlers"]

_ETAG: Final = re.compile(r'"([^"]*)"')
_BODIES: Final = 64 << 20
"""Bytes of manifests in flight at a time. Their parsed documents take several times as much memory."""


class ManifestHandlers:
    """The handlers of /v2/NAME/manifests/TARGET."""

    def __init__(self, registry: Registry, metrics: Metrics, limits: Limits) -> None:
        self._registry = registry
        self._metrics = metrics
        self._limits = limits
        self._bodies = Budget(max(_BODIES, limits.manifest_bytes), "the manifests that are being pushed")
        self._unread = Budget(
            max(limits.unread_bytes, limits.manifest_bytes * 2), "the manifests that are being pulled"
        )

    async def head(self, request: web.Request, call: Call) -> web.Response:
        manifest = self._manifest(request, call)
        return web.Response(headers=_headers(manifest) | {"Content-Length": str(len(manifest.content))})

    async def get(self, request: web.Request, call: Call) -> web.StreamResponse:
        size = self._registry.manifest_size(call.repository, request.match_info["target"])
        if size <= SMALL:
            manifest = self._manifest(request, call)
            return web.Response(body=manifest.content, headers=_headers(manifest))
        with self._unread.held(anonymous=call.caller == ANONYMOUS) as take:
            take(size)
            manifest = self._manifest(request, call)
            return await send(request, manifest.content, _headers(manifest))

    async def put(self, request: web.Request, call: Call) -> web.Response:
        """Store a manifest. `If-Match: "DIGEST"` or `If-None-Match: *` makes it a compare-and-swap (412 if it
        fails)."""
        precondition = _precondition(request)
        with self._bodies.held() as take:
            content = await read_body(request, self._metrics.received, self._bounded(take))
            manifest = await self._registry.put_manifest(
                call.repository,
                request.match_info["target"],
                content,
                request.content_type if "Content-Type" in request.headers else "",
                precondition=precondition,
                actor=call.actor,
            )
        headers = {
            "Location": f"/v2/{call.repository}/manifests/{manifest.digest}",
            "Docker-Content-Digest": manifest.digest,
        }
        if manifest.subject:
            headers["OCI-Subject"] = manifest.subject
        return web.Response(status=201, headers=headers)

    async def delete(self, request: web.Request, call: Call) -> web.Response:
        """Delete a tag or a manifest. With the query `force=true`, also one that is in use."""
        force = request.query.get("force") == "true"
        await self._registry.delete(call.repository, request.match_info["target"], actor=call.actor, force=force)
        return web.Response(status=202)

    def _bounded(self, take: Callable[[int], None]) -> Callable[[int], None]:
        """Return `take` with the additional limit of one manifest."""
        most, size = self._limits.manifest_bytes, 0

        def take_part(count: int) -> None:
            nonlocal size
            size += count
            if size > most:
                raise ExhaustedError(
                    f"the manifest has more than {most} bytes, the limit manifest_bytes: reduce it, or start the "
                    "platform with a larger --limit manifest_bytes",
                    reason="TOO_LARGE",
                )
            take(count)

        return take_part

    def _manifest(self, request: web.Request, call: Call) -> StoredManifest:
        return self._registry.manifest(call.repository, request.match_info["target"])


def _headers(manifest: StoredManifest) -> dict[str, str]:
    return {
        "Content-Type": manifest.media_type,
        "Docker-Content-Digest": manifest.digest,
        "ETag": f'"{manifest.digest}"',
    }


def _precondition(request: web.Request) -> Precondition:
    expected, absent = request.headers.get("If-Match"), request.headers.get("If-None-Match")
    if absent not in {None, "*"}:
        raise InvalidError(f"If-None-Match must be *, not {absent}", reason="UNSUPPORTED")
    if expected is None:
        return Precondition(absent=absent is not None)
    etag = _ETAG.fullmatch(expected)
    if etag is None:
        raise InvalidError(f'If-Match must be one "DIGEST", not {expected}', reason="UNSUPPORTED")
    return Precondition(Digest.parse(etag[1]), absent=absent is not None)
