"""The typed client: the verbs of Kubernetes' API for Klever's kinds.

Source: kubernetes.io/docs/reference/using-api/api-concepts.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import suppress
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import orjson

from klever.api.kinds import Kind, Object
from klever.errors import ExhaustedError, FieldViolation, InvalidError, UnavailableError
from klever.kube.config import KubeConfig
from klever.kube.responses import no_api_server, response_error
from klever.kube.transport import Transport

__all__ = ["MANAGER", "WATCH_SECONDS", "KubeClient"]

MANAGER = "klever"
"""The field manager of everything that Klever writes."""

_SECONDS = 25.0
"""Shorter than the timeout of Klever's own clients (30 s), so that they learn which server does not answer."""
WATCH_SECONDS = (240, 300)
"""The server ends a watch after a time between these, so that watches that began together end at different times."""
_SILENCE_SECONDS = 120.0
"""Bookmarks come every minute, so a watch without events for longer is dead."""
_MAX_LINE = 16 << 20
_MAX_LOG_LINE = 64 << 10
_POD = Kind("", "v1", "Pod", "pods")
_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"

_WRITE = {"fieldManager": MANAGER}


def _dry(dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}


class KubeClient:
    """A client of one API server as one user. Every call has a deadline. Errors are those of `klever.errors`."""

    def __init__(self, transport: Transport, config: KubeConfig) -> None:
        self._transport = transport
        self.config = config

    @classmethod
    async def open(cls, config: KubeConfig, *, qps: float = 50.0, burst: int = 100, connections: int = 32) -> Self:
        """Return a client, which connects at its first call."""
        return cls(Transport(config, qps=qps, burst=burst, connections=connections), config)

    async def close(self) -> None:
        await self._transport.close()

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        return await self._object("GET", kind, namespace, name)

    async def list(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "", limit: int = 0, token: str = ""
    ) -> Object:
        """Return the List: `metadata.resourceVersion`, `metadata.continue`, `items`."""
        limits = {"limit": str(limit or ""), "continue": token}
        query = _given({"labelSelector": labels, "fieldSelector": fields, **limits})
        path = _path(kind, namespace)
        found: Object = await self.raw("GET", path, query=query)
        items = found.get("items") or []
        if not isinstance(items, list) or not all(map(_is_object, [found, *items])):
            raise self._strange("GET", path, found)
        found["items"] = [_named(kind, item) for item in items]
        return found

    async def reach(self, kind: Kind, namespace: str = "", *, resource_version: str) -> None:
        """Raise `ExpiredError` if the server's data is older, because it was restored from a backup."""
        query = {"limit": "1", "resourceVersion": resource_version, "resourceVersionMatch": "NotOlderThan"}
        await self.raw("GET", _path(kind, namespace), query=query)

    async def create(self, kind: Kind, obj: Object, *, dry_run: bool = False) -> Object:
        namespace = obj["metadata"].get("namespace", "")
        body = _named(kind, dict(obj))
        created: Object = await self.raw("POST", _path(kind, namespace), body=body, query=_WRITE | _dry(dry_run))
        return created

    async def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Mapping[str, Any],
        *,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Apply a JSON merge patch (RFC 7386)."""
        query = _WRITE | _dry(dry_run)
        return await self._object(
            "PATCH", kind, namespace, name, subresource, body=patch, query=query, content_type=_MERGE
        )

    async def apply(
        self, kind: Kind, obj: Object, *, force: bool = True, dry_run: bool = False, manager: str = MANAGER
    ) -> Object:
        """Server-side apply. With `force`, the manager takes over named fields of other managers."""
        metadata = obj["metadata"]
        return await self._object(
            "PATCH",
            kind,
            metadata.get("namespace", ""),
            metadata["name"],
            body=_named(kind, dict(obj)),
            query={"fieldManager": manager, "force": str(force).lower()} | _dry(dry_run),
            content_type=_APPLY,
        )

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        dry_run: bool = False,
    ) -> None:
        """Delete an object; the server deletes its dependents afterwards."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": _given({"uid": uid, "resourceVersion": resource_version}),
            **({"dryRun": ["All"]} if dry_run else {}),  # the server ignores the query beside a body
        }
        await self._object("DELETE", kind, namespace, name, body=options)

    async def watch(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "", resource_version: str
    ) -> AsyncGenerator[tuple[str, Object], None]:
        """Yield event types and objects after `resource_version`, including bookmarks. Ends when the server ends it.

        Raises `ExpiredError` if the version is too old, `UnavailableError` if the stream breaks or has no events.
        """
        query = _given({"labelSelector": labels, "fieldSelector": fields, "resourceVersion": resource_version})
        seconds = random.randint(*WATCH_SECONDS)  # noqa: S311 - spreads load
        query |= {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
        path = _path(kind, namespace)
        async with self._transport.stream(path, query=query, first=_SECONDS) as content:
            async for line in _lines(content):
                type_, obj = self._event(path, line)
                if type_ == "ERROR":
                    code = obj.get("code")
                    what = f"watch {path} at {self.config.server}"
                    raise response_error(code if isinstance(code, int) else 500, obj, what)
                yield type_, _named(kind, obj)

    async def log(
        self, namespace: str, pod: str, container: str, *, follow: bool = False, tail: int | None = None
    ) -> AsyncGenerator[str, None]:
        """Yield the lines of a container's log, the last `tail` ones; with `follow` until the container ends."""
        path = _path(_POD, namespace, pod, "log")
        last = "" if tail is None else str(tail)
        query = _given({"container": container, "follow": "true" if follow else "", "tailLines": last})
        async with self._transport.stream(path, query=query, first=_SECONDS) as content:
            async for line in _log_lines(content):
                yield line.decode(errors="replace")

    async def _object(
        self, method: str, kind: Kind, namespace: str, name: str, subresource: str = "", **request: Any
    ) -> Object:
        """Send a request for one object. Raises `InvalidError` without a name, which would address the collection."""
        if not name or (kind.namespaced and not namespace):
            missing = "metadata.namespace" if name else "metadata.name"
            raise InvalidError(violations=(FieldViolation(missing, "is required"),))
        obj: Object = await self.raw(method, _path(kind, namespace, name, subresource), **request)
        return obj

    def _event(self, path: str, line: bytes) -> tuple[str, Object]:
        event = None
        with suppress(orjson.JSONDecodeError):
            event = orjson.loads(line)
        type_, obj = (event.get("type"), event.get("object")) if isinstance(event, dict) else (None, None)
        if not isinstance(type_, str) or not isinstance(obj, dict) or (type_ != "ERROR" and not _is_object(obj)):
            raise self._strange("watch", path, line)
        return type_, obj

    def _strange(self, method: str, path: str, told: Any) -> UnavailableError:
        return no_api_server(f"{method} {path} at {self.config.server}", told)

    async def raw(self, method: str, path: str, *, deadline: float = _SECONDS, **request: Any) -> Any:
        """Send a request to any path, and return the JSON of the response. See `Transport.call`."""
        return await self._transport.call(method, path, deadline=deadline, **request)


async def _lines(content: Any) -> AsyncIterator[bytes]:
    """Yield the lines of a stream. An incomplete last line is dropped, because its event comes again."""
    rest = b""
    while True:
        async with asyncio.timeout(_SILENCE_SECONDS):
            chunk = await content.readany()
        if not chunk:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line
        if len(rest) > _MAX_LINE:
            raise ExhaustedError(f"a watch event must have at most {_MAX_LINE} bytes")


async def _log_lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Yield the lines of a container's log. A program may print nothing for hours. A long line comes in pieces."""
    rest = b""
    while chunk := await content.readany():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > _MAX_LOG_LINE:
            yield rest
            rest = b""
    if rest:
        yield rest


def _is_object(obj: Any) -> bool:
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    return isinstance(metadata, dict) and str(metadata.get("resourceVersion")).isdecimal()


def _path(kind: Kind, namespace: str, *rest: str) -> str:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    scope = f"/namespaces/{_segment(namespace)}" if kind.namespaced and namespace else ""
    return f"{root}{scope}/{kind.plural}" + "".join(f"/{_segment(part)}" for part in rest if part)


def _segment(value: str) -> str:
    """Quote a name. Raises for a name that would change the path (Kubernetes: IsValidPathSegmentName)."""
    if value in (".", "..") or "/" in value or "%" in value:
        raise InvalidError(violations=(FieldViolation("metadata.name", f"invalid name {value!r}"),))
    return quote(value, safe="")


def _named(kind: Kind, obj: Object) -> Object:
    """Add the kind, which lists omit from their items."""
    obj.setdefault("apiVersion", kind.api_version)
    obj.setdefault("kind", kind.kind)
    return obj


def _given(query: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in query.items() if value}
