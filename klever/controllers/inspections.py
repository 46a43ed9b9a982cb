"""What the platform found in contents, by their digests, and where code may run.

A ModelInspection is written once, from the outcome of the task that looked at the content; nothing that a pusher writes
has a part in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from klever.api.kinds import MODEL_INSPECTION, NAMESPACE, Object
from klever.api.text import format_time
from klever.errors import AlreadyExistsError, InvalidError, NotFoundError
from klever.formats import Trust, trust_of
from klever.inspection import VERSION
from klever.oci.digest import Digest
from klever.store import Key, Store

__all__ = ["ALLOW_CODE", "allows_code", "code_is_allowed", "inspection_of", "record_inspection", "trust_as"]

ALLOW_CODE = "kleveross.io/allow-code"
"""Label of a namespace; `true` lets its Servings run code."""


async def inspection_of(store: Store, content: Digest) -> Object | None:
    """Return the inspection of a content; None if there is none, or only one of an older version."""
    try:
        found = await store.get(MODEL_INSPECTION, _key(content))
    except NotFoundError:
        return None
    return found if found["spec"]["inspectorVersion"] >= VERSION else None


async def record_inspection(store: Store, found: Mapping[str, Any], now: datetime) -> None:
    """Keep what a task found; an inspection that is current stays. Raises `InvalidError` for what is not one."""
    content = Digest.parse(str(found.get("content", "")))
    if found.get("inspectorVersion") != VERSION:
        raise InvalidError(f"it is of version {found.get('inspectorVersion')}, not {VERSION}")
    if await inspection_of(store, content) is not None:
        return
    key, spec = _key(content), {**found, "inspectedAt": format_time(now)}
    try:
        await store.create(MODEL_INSPECTION, {
            "apiVersion": MODEL_INSPECTION.api_version,
            "kind": MODEL_INSPECTION.kind,
            "metadata": {"name": key.name},
            "spec": spec,
        })  # fmt: skip
    except AlreadyExistsError:  # of an older version, all of which goes
        older = (await store.get(MODEL_INSPECTION, key))["spec"]
        await store.patch(MODEL_INSPECTION, key, {"spec": {**dict.fromkeys(older), **spec}})


def trust_as(inspection: Object | None, format_: str) -> Trust | None:
    """Return what a content is in a format; None where that is not known yet."""
    if trust_of(format_) is Trust.CODE:
        return Trust.CODE
    if inspection is None:
        return None
    return Trust.CODE if format_ in inspection["spec"].get("codeFormats", ()) else Trust.DATA


async def allows_code(store: Store, namespace: str) -> bool:
    """Say whether Servings of a namespace may run code."""
    try:
        return code_is_allowed(await store.get(NAMESPACE, Key("", namespace)))
    except NotFoundError:
        return False


def code_is_allowed(namespace: Object) -> bool:
    return bool(namespace["metadata"].get("labels", {}).get(ALLOW_CODE) == "true")


def _key(content: Digest) -> Key:
    if content.algorithm != "sha256":
        raise InvalidError(f"{content} is not a sha256 digest")
    return Key("", f"sha256-{content.hex}")
