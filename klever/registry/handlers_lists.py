"""Lists of tags, repositories and referrers (distribution specification 1.1, "Content Discovery")."""

from __future__ import annotations

from aiohttp import web

from klever.limits import Limits
from klever.oci import mediatypes
from klever.oci.digest import Digest
from klever.oci.encoding import encode_json
from klever.registry.registry import Registry
from klever.registry.requests import Call, read_page

__all__ = ["ListHandlers"]

_REFERRERS = 100
"""A page of referrers. A page of large ones is shorter."""


class ListHandlers:
    """The handlers of /v2/, /v2/_catalog, /v2/NAME/tags/list and /v2/NAME/referrers/DIGEST."""

    def __init__(self, registry: Registry, limits: Limits) -> None:
        self._registry = registry
        self._limits = limits

    async def base(self, _request: web.Request, _call: Call) -> web.Response:
        """Confirm that this is a registry and that it accepted the credentials."""
        return _json({})

    async def catalog(self, request: web.Request, _call: Call) -> web.Response:
        page = read_page(request, self._limits.tags_per_page)
        names = self._registry.repositories(after=page.after, limit=page.limit + 1)
        more = page.link("/v2/_catalog", names[page.limit - 1]) if 0 < page.limit < len(names) else {}
        return _json({"repositories": names[: page.limit]}, more)

    async def tags(self, request: web.Request, call: Call) -> web.Response:
        page = read_page(request, self._limits.tags_per_page)
        names = self._registry.tags(call.repository, after=page.after, limit=page.limit + 1)
        path = f"/v2/{call.repository}/tags/list"
        more = page.link(path, names[page.limit - 1]) if 0 < page.limit < len(names) else {}
        return _json({"name": call.repository, "tags": names[: page.limit]}, more)

    async def referrers(self, request: web.Request, call: Call) -> web.Response:
        """Return an index of the manifests that refer to a digest, of one artifact type if the query names it."""
        subject = Digest.parse(request.match_info["digest"])
        artifact_type = request.query.get("artifactType", "")
        page = read_page(request, _REFERRERS)
        found, more = await self._registry.referrers(
            call.repository, subject, artifact_type=artifact_type, after=page.after, limit=page.limit
        )
        headers = {"OCI-Filters-Applied": "artifactType"} if artifact_type else {}
        if found and more:
            query = {"artifactType": artifact_type} if artifact_type else {}
            headers |= page.link(f"/v2/{call.repository}/referrers/{subject}", found[-1].digest, **query)
        manifests = [manifest.referrer() for manifest in found]
        index = {"schemaVersion": 2, "mediaType": mediatypes.IMAGE_INDEX, "manifests": manifests}
        return _json(index, headers, mediatypes.IMAGE_INDEX)


def _json(
    document: object, headers: dict[str, str] | None = None, media_type: str = "application/json"
) -> web.Response:
    return web.Response(body=encode_json(document), content_type=media_type, headers=headers)
