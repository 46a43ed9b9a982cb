"""Calls for the kinds that a store holds: their services are alike but for the kind's name in each call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from klever.cli.commands.client import Api
from klever.errors import FailedPreconditionError
from klever.v1alpha1 import job_service_pb2, serving_service_pb2
from klever.v1alpha1.common_pb2 import ListOptions, WatchOptions

__all__ = ["JOBS", "SERVINGS", "StoredKind", "refuse_deleting"]


@dataclass(frozen=True, slots=True)
class StoredKind:
    """`service` is the attribute of `Api`, `module` holds the requests' messages, `name` is as in `GetServing`."""

    service: str
    module: ModuleType
    name: str

    @property
    def plural(self) -> str:
        return f"{self.name.lower()}s"

    def calls(self, api: Api) -> Any:
        """Return the service's stub."""
        return getattr(api, self.service)

    def get(self, api: Api, namespace: str, name: str) -> Any:
        """Return one object; raises `NotFoundError`."""
        return self._call(api, "Get", "", namespace=namespace, name=name)

    def list(self, api: Api, namespace: str, name: str, labels: str) -> Iterator[Any]:
        """Yield objects, in all pages; one alone where it is named."""
        if name:
            yield self.get(api, namespace, name)
            return
        token = ""
        while True:
            options = ListOptions(labels=labels, page_token=token)
            page = self._call(api, "List", "s", namespace=namespace, options=options)
            yield from page.items
            token = page.next_page_token
            if not token:
                return

    def look(self, api: Api, namespace: str, name: str) -> tuple[Any, str]:
        """Return one object, None if it is not there, and the version to watch from so that no change is missed."""
        options = ListOptions(filter=f"metadata.name={name}")
        page = self._call(api, "List", "s", namespace=namespace, options=options)
        return (page.items[0] if page.items else None), page.resource_version

    def watch(
        self,
        api: Api,
        namespace: str,
        name: str,
        labels: str,
        *,
        resource_version: str = "",
        timeout: float | None = None,
    ) -> Iterator[Any]:
        """Yield changes, of one object where it is named; without a version what exists comes first."""
        fields = f"metadata.name={name}" if name else ""
        options = WatchOptions(labels=labels, filter=fields, resource_version=resource_version)
        request = self._request("Watch", "s", namespace=namespace, options=options)
        return api.stream(self._method(api, "Watch", "s"), request, timeout)

    def delete(self, api: Api, name: str) -> None:
        self._call(api, "Delete", "", namespace=api.namespace, name=name)

    def _call(self, api: Api, verb: str, plural: str, **fields: Any) -> Any:
        return api.call(self._method(api, verb, plural), self._request(verb, plural, **fields))

    def _method(self, api: Api, verb: str, plural: str) -> Any:
        return getattr(self.calls(api), f"{verb}{self.name}{plural}")

    def _request(self, verb: str, plural: str, **fields: Any) -> Any:
        return getattr(self.module, f"{verb}{self.name}{plural}Request")(**fields)


JOBS: Final = StoredKind("jobs", job_service_pb2, "ModelJob")
SERVINGS: Final = StoredKind("servings", serving_service_pb2, "Serving")


def refuse_deleting(what: str, obj: Any) -> None:
    """Raise `FailedPreconditionError` if an object is about to go: what was changed of it goes with it."""
    if obj.metadata.HasField("deletion_timestamp"):
        raise FailedPreconditionError(
            f"{what} is being deleted, and what is changed goes with it: "
            f"`klever wait {what} --for=delete`, then do it again"
        )
