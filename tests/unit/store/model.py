"""The store's semantics on a dictionary, as simple as they can be said. Collection happens at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from klever.api.kinds import MODEL_JOB, SERVING, Kind, Object
from klever.errors import AlreadyExistsError, ConflictError, InvalidError, NotFoundError, PermissionDeniedError

__all__ = ["Address", "Model", "Spec", "Thing", "make_spec", "owner_reference", "read_thing"]


class Address(NamedTuple):
    kind: Kind
    namespace: str
    name: str


class Spec(NamedTuple):
    """What of a spec differs: the model's version and, of a Serving, the replicas (1 is their default)."""

    version: int
    replicas: int = 1


@dataclass
class Thing:
    """An object. `applied` holds the label keys of the last apply; None if there was none."""

    spec: Spec
    labels: dict[str, str] = field(default_factory=dict)
    finalizers: list[str] = field(default_factory=list)
    owners: list[Object] = field(default_factory=list)
    phase: str = ""
    generation: int = 1
    deleting: bool = False
    applied: set[str] | None = None
    uid: str = ""
    version: str = ""

    @property
    def shown(self) -> tuple[object, ...]:
        """All that a reader sees, but the resource version."""
        return (
            self.spec,
            self.labels,
            self.finalizers,
            self.owners,
            self.phase,
            self.generation,
            self.deleting,
            self.uid,
        )


def make_spec(kind: Kind, spec: Spec) -> Object:
    model = f"team/m:v{spec.version}"
    if kind == MODEL_JOB:
        return {"model": model, "extraction": {"format": "ONNX"}}
    replicas = {} if spec.replicas == 1 else {"replicas": spec.replicas}
    return {"predictors": [{"name": "main", "model": model, **replicas}]}


def read_thing(obj: Object) -> Thing:
    """Read what a store answered."""
    metadata, spec = obj["metadata"], obj["spec"]
    part = spec["predictors"][0] if obj["kind"] == SERVING.kind else spec
    return Thing(
        spec=Spec(int(part["model"].rpartition("v")[2]), part.get("replicas", 1)),
        labels=metadata.get("labels", {}),
        finalizers=metadata.get("finalizers", []),
        owners=metadata.get("ownerReferences", []),
        phase=obj.get("status", {}).get("phase", ""),
        generation=metadata["generation"],
        deleting="deletionTimestamp" in metadata,
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
    )


def owner_reference(kind: Kind, name: str, uid: str) -> Object:
    return {"apiVersion": kind.api_version, "kind": kind.kind, "name": name, "uid": uid}


class Model:
    """`namespaces` maps a name to whether it is being deleted. What changed without a caller is in `collected`."""

    def __init__(self) -> None:
        self.namespaces: dict[str, bool] = {}
        self.things: dict[Address, Thing] = {}
        self.collected: set[Address] = set()

    def create(self, address: Address, thing: Thing) -> Thing:
        if address.namespace not in self.namespaces:
            raise NotFoundError(address.namespace)
        if self.namespaces[address.namespace]:
            raise PermissionDeniedError(address.namespace)
        if address in self.things:
            raise AlreadyExistsError(address.name)
        thing.owners = [owner for place, owner in enumerate(thing.owners) if owner not in thing.owners[:place]]
        self.things[address] = thing
        return thing

    def change(
        self,
        address: Address,
        *,
        spec: Spec | None = None,
        labels: dict[str, str | None] | None = None,
        finalizers: list[str] | None = None,
        owners: list[Object] | None = None,
        version: str = "",
    ) -> bool:
        """Patch; returns whether anything changes. Label values of None remove."""
        thing = self._there(address, version)
        before = thing.shown
        if thing.deleting and set(finalizers or ()) - set(thing.finalizers):
            raise InvalidError("it is being deleted")
        if spec is not None and spec != thing.spec:
            if address.kind == MODEL_JOB:
                raise InvalidError("the spec is immutable")
            thing.spec = spec
            thing.generation += 1
        thing.finalizers = thing.finalizers if finalizers is None else finalizers
        thing.labels = {k: v for k, v in {**thing.labels, **(labels or {})}.items() if v is not None}
        thing.owners = thing.owners if owners is None else owners
        if thing.deleting and not thing.finalizers:
            del self.things[address]
        return thing.shown != before

    def set_phase(self, address: Address, phase: str, version: str) -> bool:
        thing = self._there(address, version)
        changed = thing.phase != phase
        thing.phase = phase
        return changed

    def apply(self, address: Address, spec: Spec, labels: dict[str, str]) -> bool:
        """Create or declare; returns whether anything changes, of what the applier says too."""
        if address not in self.things:
            self.create(address, Thing(spec, labels, applied=set(labels)))
            return True
        thing = self.things[address]
        dropped: dict[str, str | None] = dict.fromkeys((thing.applied or set()) - labels.keys())
        changed = self.change(address, spec=spec, labels={**dropped, **labels}) or thing.applied != set(labels)
        thing.applied = set(labels)
        return changed

    def delete(self, address: Address, version: str = "") -> None:
        thing = self._there(address, version)
        if not thing.finalizers:
            del self.things[address]
        elif not thing.deleting:
            thing.deleting = True
            thing.generation += 1

    def delete_namespace(self, name: str) -> None:
        if name not in self.namespaces:
            raise NotFoundError(name)
        self.namespaces[name] = True

    def collect(self) -> None:
        """Do what the store does by itself, until there is nothing left to do."""
        while goners := [address for address in self.things if self._goes(address)]:
            for address in goners:
                self.delete(address)
                self.collected.add(address)
        for name in [n for n, deleting in self.namespaces.items() if deleting]:
            if not any(address.namespace == name for address in self.things):
                del self.namespaces[name]

    def _goes(self, address: Address) -> bool:
        thing = self.things[address]
        orphaned = bool(thing.owners) and not any(self._owner(address, owner) for owner in thing.owners)
        return not thing.deleting and (orphaned or self.namespaces[address.namespace])

    def _owner(self, dependent: Address, owner: Object) -> bool:
        kind = next(kind for kind in (SERVING, MODEL_JOB) if kind.kind == owner["kind"])
        found = self.things.get(Address(kind, dependent.namespace, owner["name"]))
        return found is not None and found.uid == owner["uid"]

    def _there(self, address: Address, version: str) -> Thing:
        if address not in self.things:
            raise NotFoundError(address.name)
        thing = self.things[address]
        if version and version != thing.version:
            raise ConflictError(address.name)
        return thing
