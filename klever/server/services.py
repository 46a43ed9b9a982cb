"""Finds the handler of each RPC of a service."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from klever.server.auth import Action
from klever.server.objects import Objects
from klever.server.standard import StandardMethods
from klever.v1alpha1 import job_service_pb2, model_service_pb2, server_service_pb2, serving_service_pb2

__all__ = ["JOBS", "MODELS", "SERVER", "SERVINGS", "Service", "make_services"]

MODELS: ServiceDescriptor = model_service_pb2.DESCRIPTOR.services_by_name["ModelService"]
JOBS: ServiceDescriptor = job_service_pb2.DESCRIPTOR.services_by_name["JobService"]
SERVINGS: ServiceDescriptor = serving_service_pb2.DESCRIPTOR.services_by_name["ServingService"]

SERVER: ServiceDescriptor = server_service_pb2.DESCRIPTOR.services_by_name["ServerService"]


@dataclass(frozen=True, slots=True)
class Service:
    """A service. `custom` has a method in snake case for each RPC that is not a standard method of a kind."""

    descriptor: ServiceDescriptor
    custom: object
    standard: tuple[StandardMethods, ...] = ()

    def handler(self, method: MethodDescriptor) -> Any:
        """Return the handler of an RPC. Raise `AttributeError` if there is none, so that the server does not start."""
        own = getattr(self.custom, _snake(method.name), None)
        if own is not None:
            return own
        for methods in self.standard:
            if (found := methods.find(method)) is not None:
                return found
        raise AttributeError(f"no handler for {method.full_name}")

    def action(self, method: MethodDescriptor) -> Action:
        return Action.parse(method, [methods.kind for methods in self.standard])


def make_services(objects: Iterable[Objects[Message]], custom: Mapping[ServiceDescriptor, object]) -> list[Service]:
    """Return the services of all these kinds and custom handlers, each service once."""
    standard: dict[ServiceDescriptor, tuple[StandardMethods, ...]] = dict.fromkeys(custom, ())
    for held in objects:
        if held.kind.service is not None:
            standard[held.kind.service] = (*standard.get(held.kind.service, ()), StandardMethods(held))
    return [Service(descriptor, custom.get(descriptor), methods) for descriptor, methods in standard.items()]


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
