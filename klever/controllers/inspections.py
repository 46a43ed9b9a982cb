"""The inspections of content, by digest, and the namespaces that may run code.

A ModelInspection is written once, from the outcome of the task that inspected the content. The author of a push cannot
influence it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from klever.api.kinds import MODEL_INSPECTION, NAMESPACE, Object
from klever.api.text import format_time
from klever.errors import AlreadyExistsError, InvalidError, NotFoundError
from klever.formats import Trust, least_trust
from klever.inspection import VERSION
from klever.oci.digest import Digest
from klever.store import Key, Store

__all__ = ["ALLOW_CODE", "allows_code", "code_is_allowed", "find_inspection", "record_inspection", "trust_as"]

ALLOW_CODE = "kleveross.io/allow-code"
"""The label of a namespace; `true` lets its Servings run code."""


async def find_inspection(store: Store, content: Digest) -> Object | None:
    """Return the inspection of some content; None if there is none, or only an outdated one."""
    try:
        found = await store.get(MODEL_INSPECTION, _key(content))
    except NotFoundError:
        return None
    return found if found["spec"]["inspectorVersion"] >= VERSION else None


async def record_inspection(store: Store, found: Mapping[str, Any], now: datetime) -> None:
    """Store a task's inspection, unless there is a current one. Raises `InvalidError` if it is invalid."""
    content = Digest.parse(str(found.get("content", "")))
    if found.get("inspectorVersion") != VERSION:
        raise InvalidError(f"its version must be {VERSION}, not {found.get('inspectorVersion')}")
    if await find_inspection(store, content) is not None:
        return
    key, spec = _key(content), {**found, "inspectedAt": format_time(now)}
    try:
        await store.create(MODEL_INSPECTION, {
            "apiVersion": MODEL_INSPECTION.api_version,
            "kind": MODEL_INSPECTION.kind,
            "metadata": {"name": key.name},
            "spec": spec,
        })  # fmt: skip
    except AlreadyExistsError:  # an outdated one, which is replaced
        older = (await store.get(MODEL_INSPECTION, key))["spec"]
        await store.patch(MODEL_INSPECTION, key, {"spec": {**dict.fromkeys(older), **spec}})


def trust_as(inspection: Object | None, format_: str) -> Trust | None:
    """Return the trust class of content in a format; None if it is not known yet."""
    if least_trust(format_) is Trust.CODE:
        return Trust.CODE
    if inspection is None:
        return None
    return Trust.CODE if format_ in inspection["spec"].get("codeFormats", ()) else Trust.DATA


async def allows_code(store: Store, namespace: str) -> bool:
    """Whether Servings of a namespace may run code."""
    try:
        return code_is_allowed(await store.get(NAMESPACE, Key("", namespace)))
    except NotFoundError:
        return False


def code_is_allowed(namespace: Object) -> bool:
    return bool(namespace["metadata"].get("labels", {}).get(ALLOW_CODE) == "true")


def _key(content: Digest) -> Key:
    if content.algorithm != "sha256":
        raise InvalidError(f"{content} must be a sha256 digest")
    return Key("", f"sha256-{content.hex}")
