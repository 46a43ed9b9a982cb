"""The registry as an aiohttp application: one table of routes with the verb that each needs, one mapping of errors."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from klever.auth import Access
from klever.auth.headers import parse_authorization
from klever.errors import KleverError
from klever.limits import DEFAULTS, Limits
from klever.registry.auth import Verb, repository_resource
from klever.registry.errors import error_response, http_status
from klever.registry.handlers_blobs import BlobHandlers
from klever.registry.handlers_lists import ListHandlers
from klever.registry.handlers_manifests import ManifestHandlers
from klever.registry.handlers_uploads import UploadHandlers
from klever.registry.metrics import Metrics
from klever.registry.registry import Registry, check_repository
from klever.registry.requests import Call

__all__ = ["Route", "application", "routes"]


_NAME: Final = "/v2/{name:.+}"
_UPLOAD: Final = _NAME + "/blobs/uploads/{upload:[^/]+}"
_BLOB: Final = _NAME + "/blobs/{digest:[^/]+}"
_MANIFEST: Final = _NAME + "/manifests/{target:[^/]+}"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table: the request, the permission that it needs, and its handler."""

    method: str
    path: str
    verb: Verb
    handler: Callable[[web.Request, Call], Awaitable[web.StreamResponse]]


def routes(registry: Registry, access: Access, metrics: Metrics, limits: Limits = DEFAULTS) -> list[Route]:
    """Return the routes of the registry."""
    uploads = UploadHandlers(registry.blobs, access, metrics, limits)
    blobs = BlobHandlers(registry.blobs)
    manifests = ManifestHandlers(registry, metrics, limits)
    lists = ListHandlers(registry, limits)
    return [
        Route("GET", "/v2/", "login", lists.base),
        Route("GET", "/v2/_catalog", "pull", lists.catalog),
        Route("GET", _NAME + "/tags/list", "pull", lists.tags),
        Route("GET", _NAME + "/referrers/{digest:[^/]+}", "pull", lists.referrers),
        Route("POST", _NAME + "/blobs/uploads/", "push", uploads.start),
        Route("GET", _UPLOAD, "push", uploads.status),
        Route("PATCH", _UPLOAD, "push", uploads.append),
        Route("PUT", _UPLOAD, "push", uploads.finish),
        Route("DELETE", _UPLOAD, "push", uploads.cancel),
        Route("HEAD", _BLOB, "pull", blobs.head),
        Route("GET", _BLOB, "pull", blobs.get),
        Route("DELETE", _BLOB, "delete", blobs.delete),
        Route("HEAD", _MANIFEST, "pull", manifests.head),
        Route("GET", _MANIFEST, "pull", manifests.get),
        Route("PUT", _MANIFEST, "push", manifests.put),
        Route("DELETE", _MANIFEST, "delete", manifests.delete),
    ]


def application(registry: Registry, access: Access, metrics: Metrics, *, limits: Limits = DEFAULTS) -> web.Application:
    """Return the application. Its handlers run on the plain asyncio loop, where the kernel sends files."""
    app = web.Application(middlewares=[_errors])
    for route in routes(registry, access, metrics, limits):
        app.router.add_route(route.method, route.path, _guarded(route, access))

    async def finish(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Docker-Distribution-API-Version"] = "registry/2.0"
        response.headers["X-Content-Type-Options"] = "nosniff"
        metrics.requests.labels(request.method, str(response.status)).inc()
        if request.method == "GET":
            metrics.sent.inc(response.content_length or 0)

    app.on_response_prepare.append(finish)
    metrics.damaged.set_function(lambda: registry.blobs.damaged)
    return app


def _guarded(route: Route, access: Access) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("name", "")
        repository = check_repository(name) if name else ""
        credentials = parse_authorization(request.headers.get("Authorization", ""))
        caller = access.authenticate(credentials)
        access.require(caller, route.verb, repository_resource(repository))
        return await route.handler(request, Call(credentials.user if credentials else "", repository, caller))

    return handle


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into a response."""
    try:
        return await handler(request)
    except KleverError as error:
        status = http_status(error)
        if status >= 500:
            _log.warning("%s %s: %s", request.method, request.path, error)
        return error_response(status, error.reason, error.message, error.metadata)
    except web.HTTPException as error:
        allow = {name: value for name, value in error.headers.items() if name == "Allow"}
        return error_response(
            error.status, "UNSUPPORTED", f"{request.method} {request.path}: {error.reason}", headers=allow
        )
    except Exception:  # noqa: BLE001  # a fault of ours must not say more than this to a client
        _log.exception("%s %s", request.method, request.path)
        return error_response(500, "UNKNOWN", "internal error of the registry; see its log")
