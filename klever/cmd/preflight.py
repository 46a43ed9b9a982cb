"""Checks an API server before the start: Klever's kinds in the right version, and the rights.

Sources: kubernetes.io/docs/concepts/overview/kubernetes-api ("Discovery API"); authorization.k8s.io/v1
SelfSubjectAccessReview and authentication.k8s.io/v1 SelfSubjectReview, which every user may create.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from klever.api.kinds import GROUP, KINDS, Kind
from klever.errors import FailedPreconditionError, KleverError, PermissionDeniedError
from klever.kube import KubeClient
from klever.kube.kinds import ISTIO_KINDS, POD_KINDS

__all__ = ["CONTROLLERS", "ISTIO", "PODS", "SERVER", "Right", "check_kinds", "check_rights"]

_INSTALL = "install the CRDs of this Klever with `kubectl apply -f config/crd/`"
_NO_KIND = "KIND_NOT_INSTALLED"
_NAMESPACES = "namespaces"
_COORDINATION = "coordination.k8s.io"
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

Versions = Mapping[str, frozenset[str]]
"""The served resources and subresources, by version."""


@dataclass(frozen=True, slots=True)
class Right:
    """A right. An empty `namespace` means all."""

    group: str
    resource: str
    verb: str
    namespace: str = ""


CONTROLLERS = (
    *(Right(kind.group, kind.plural, verb) for kind in KINDS for verb in kind.controller_verbs),
    *(Right(kind.group, f"{kind.plural}/status", "patch") for kind in KINDS if kind.is_own and kind.has_status),
)
"""The rights of the control loops, except those on the Lease: the role klever-controllers."""
PODS = tuple(Right(kind.group, kind.plural, verb) for kind in POD_KINDS for verb in kind.controller_verbs)
"""The rights that the control loops need to run jobs and Servings as pods: the role klever-pods."""
ISTIO = tuple(Right(kind.group, kind.plural, verb) for kind in ISTIO_KINDS for verb in kind.controller_verbs)
"""The rights that the control loops need to route requests with Istio: the role klever-istio."""
SERVER = tuple(Right(kind.group, kind.plural, verb) for kind in KINDS for verb in kind.server_verbs)
"""The rights of the API for its callers: the role klever-server."""


async def check_kinds(client: KubeClient) -> None:
    """Raise `FailedPreconditionError` that lists every missing or wrong kind."""
    served = await _served(client)
    wrong = [said for kind in KINDS if kind.is_own and (said := _complaint(kind, served))]
    if wrong:
        raise FailedPreconditionError(f"{'; '.join(wrong)}: {_INSTALL}", reason=_NO_KIND)


async def check_rights(client: KubeClient, rights: Iterable[Right], lease_namespace: str) -> None:
    """Raise `PermissionDeniedError` that lists the `rights`, and those on the Lease, that the user lacks."""
    leases = (Right(_COORDINATION, "leases", verb, lease_namespace) for verb in ("create", "get", "patch"))
    wanted = tuple(dict.fromkeys((*rights, *leases)))
    allowed = await asyncio.gather(*(_may(client, right) for right in wanted))
    missing = [right for right, may in zip(wanted, allowed, strict=True) if not may]
    if missing:
        raise PermissionDeniedError(
            f"{await _who(client)} may not {'; '.join(_said(missing))}: apply config/rbac/ and bind its roles to it",
            reason="RIGHTS_MISSING",
        )


async def _served(client: KubeClient) -> Versions:
    group = await _found(client, f"/apis/{GROUP}")
    versions = [str(version["version"]) for version in group.get("versions", [])]
    lists = await asyncio.gather(*(_found(client, f"/apis/{GROUP}/{version}") for version in versions))
    return {
        version: frozenset(str(resource["name"]) for resource in found.get("resources", []))
        for version, found in zip(versions, lists, strict=True)
    }


async def _found(client: KubeClient, path: str) -> dict[str, Any]:
    try:
        document: dict[str, Any] = await client.raw("GET", path)
    except FailedPreconditionError as error:
        if error.reason != _NO_KIND:
            raise
        return {}
    return document


def _complaint(kind: Kind, served: Versions) -> str:
    if kind.plural in served.get(kind.version, ()):
        whole = not kind.has_status or f"{kind.plural}/status" in served[kind.version]
        return "" if whole else f"the CRD {kind.resource} belongs to another program: it has no status subresource"
    others = [version for version, resources in served.items() if kind.plural in resources]
    if others:
        return f"{kind.resource} is served as {', '.join(others)}, but this Klever needs {kind.version}"
    return f"{kind.resource} is not installed"


async def _may(client: KubeClient, right: Right) -> bool:
    resource, _, subresource = right.resource.partition("/")
    asked = {
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
        "verb": right.verb,
        "namespace": right.namespace,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    answer = await client.raw("POST", _REVIEWS, body=review)
    return bool(answer["status"]["allowed"])


async def _who(client: KubeClient) -> str:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        answer = await client.raw("POST", _WHO, body=review)
    except KleverError:  # a server before 1.28
        return f"the user of the context {client.config.context!r}"
    return f"the user {answer['status']['userInfo']['username']!r}"


def _said(rights: list[Right]) -> Iterator[str]:
    """`list, watch servings.kleveross.io in all namespaces`."""
    verbs: dict[str, list[str]] = {}
    for right in rights:
        verbs.setdefault(_where(right), []).append(right.verb)
    for where, listed in verbs.items():
        yield f"{', '.join(listed)} {where}"


def _where(right: Right) -> str:
    resource = f"{right.resource}.{right.group}" if right.group else right.resource
    if resource == _NAMESPACES:
        return resource
    return f"{resource} in {f'namespace {right.namespace}' if right.namespace else 'all namespaces'}"
