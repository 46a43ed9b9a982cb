"""Deploys a model: changes only the named fields of a Serving."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Final

from klever.api.codec import from_object, to_object
from klever.artifacts.metadata import SOURCE_LABEL
from klever.client.aio.catalogue import AsyncVersions
from klever.client.aio.servings import AsyncServings
from klever.client.rollout import Wish, changed_predictors
from klever.client.stored import refuse_deleting
from klever.errors import ConflictError, KleverError, NotFoundError
from klever.oci.reference import Reference
from klever.v1alpha1.serving_pb2 import Serving

__all__ = ["AsyncDeployment"]

_ATTEMPTS: Final = 20
"""How often a change is tried again that another write of the Serving overtook, such as one of its status."""
_SHOWN: Final = 20


class AsyncDeployment:
    """A change of one Serving. `change` and `declare` return it before, None if it is new, and after."""

    def __init__(self, servings: AsyncServings, versions: AsyncVersions, name: str, namespace: str) -> None:
        self._servings = servings
        self._versions = versions
        self._name = name
        self._namespace = namespace

    async def change(self, wish: Wish) -> tuple[Serving | None, Serving]:
        """Change the named predictor of the current Serving, or create the Serving."""
        wish = replace(wish, digest=await self._digest(wish.model))
        for _ in range(_ATTEMPTS):
            try:
                before = await self._servings.get(self._name, namespace=self._namespace)
            except NotFoundError:
                return None, await self._servings.create(self._serving(wish), namespace=self._namespace)
            refuse_deleting(f"serving {self._name}", before)
            if wish.digest in await self._sources(before, wish):
                wish = replace(wish, digest="")
            changed = to_object(before)
            changed["spec"]["predictors"] = changed_predictors(changed, wish)
            if changed == to_object(before):
                return before, before
            with suppress(ConflictError):
                obj, fields = from_object(changed, Serving), ("spec.predictors",)
                return before, await self._servings.update(obj, fields=fields, namespace=self._namespace)
        raise ConflictError(f"serving {self._name} keeps changing: other clients update it; try again")

    async def declare(self, wish: Wish) -> tuple[Serving | None, Serving]:
        """Replace the spec of the Serving."""
        await self._digest(wish.model)
        before = None
        with suppress(NotFoundError):
            before = await self._servings.get(self._name, namespace=self._namespace)
        return before, await self._servings.apply(self._serving(wish), namespace=self._namespace)

    def _serving(self, wish: Wish) -> Serving:
        return from_object({"metadata": {"name": self._name}, "spec": {"predictors": [wish.predictor()]}}, Serving)

    async def _digest(self, text: str) -> str:
        """Return the digest that the model has now; empty if that is not known, as for a model of another registry.

        Raises `NotFoundError` that lists the tags that exist.
        """
        reference = Reference.parse(text)
        if reference.host:
            return ""
        named = text if reference.tag or reference.digest else f"{text}:latest"
        try:
            return (await self._versions.get(named)).digest
        except NotFoundError as error:
            raise NotFoundError(f"{named} not found: {await self._existing(reference)}", reason=error.reason) from error
        except KleverError:  # the status of the Serving names the fault of the model
            return ""

    async def _existing(self, reference: Reference) -> str:
        tags: list[str] = []
        with suppress(NotFoundError):
            tags = [version.tag async for version in self._versions.list(reference.repository)]
        if not tags:
            return f"model {reference.repository} not found; `klever get models` lists the existing ones"
        more = f" and {len(tags) - _SHOWN} more" if len(tags) > _SHOWN else ""
        return f"the tags of {reference.repository} are {', '.join(tags[:_SHOWN])}{more}"

    async def _sources(self, serving: Serving, wish: Wish) -> set[str]:
        """Return the digests of the versions that the pins of the wished model were converted from."""
        pins = {
            p.digest for p in serving.status.predictors if p.model == wish.model and p.digest not in ("", wish.digest)
        }
        repository = Reference.parse(wish.model).repository
        found = set()
        for pin in pins if wish.digest else ():
            with suppress(KleverError):  # it is gone
                version = await self._versions.get(f"{repository}@{pin}")
                found.add(version.labels.get(SOURCE_LABEL, ""))
        return found
