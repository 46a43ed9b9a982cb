"""Pins each predictor's model: a tag is resolved once, inspected, and waits for its signature."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from klever.api.kinds import Object
from klever.api.text import parse_time
from klever.catalog.catalogue import Catalogue, Version
from klever.controllers.extraction import (
    RETRY_SECONDS,
    Extraction,
    find_extraction,
    has_ended,
    is_retried,
    lacks_signature,
)
from klever.controllers.inspections import allows_code, inspection_of, trust_as
from klever.controllers.serving.snapshot import Resolution, ResolvedModel, pin_of
from klever.errors import InvalidError, KleverError, NotFoundError
from klever.formats import Trust, names
from klever.oci.digest import Digest
from klever.oci.reference import Reference
from klever.runtimes import Runtime
from klever.runtimes.table import COMMANDS, default_runtime
from klever.store import Store

__all__ = ["ModelResolver"]

_UNUSABLE = "ModelUnusable"
_UNREAD = "SignatureUnread"


class ModelResolver:
    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        runtimes: Mapping[str, Runtime],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._runtimes = runtimes
        self._clock = clock

    async def resolve(self, serving: Object) -> dict[str, ResolvedModel]:
        """Return what became of each predictor's model, by predictor name. Errors are in the result.

        A tag that was pinned stays pinned. It only reads: a job that is missing is in the result, too.
        """
        predictors = [_pinned(p, pin_of(serving, p).get("digest", "")) for p in serving["spec"]["predictors"]]
        return await self.resolve_predictors(serving["metadata"]["namespace"], predictors)

    async def resolve_predictors(
        self, namespace: str, predictors: Iterable[dict[str, Any]]
    ) -> dict[str, ResolvedModel]:
        """Return what became of each predictor's model, by predictor name. Errors are in the result."""
        return {p["name"]: await self._predictor(namespace, p) for p in predictors}

    async def _predictor(self, namespace: str, predictor: dict[str, Any]) -> ResolvedModel:
        try:
            return await self._resolve(namespace, predictor)
        except InvalidError as error:
            return ResolvedModel(Resolution.FAILED, error.message, reason=_UNUSABLE)
        except NotFoundError as error:
            return ResolvedModel(Resolution.WAITING, error.message, reason="ModelNotFound")
        except KleverError as error:  # refused, away, full, damaged: it is asked again, and said meanwhile
            message = f"{predictor.get('model', '')}: {error.message}"
            return ResolvedModel(Resolution.WAITING, message, reason="RegistryUnavailable")

    async def _resolve(self, namespace: str, predictor: dict[str, Any]) -> ResolvedModel:
        runtime = predictor.get("runtime") or (COMMANDS if predictor.get("command") else "")
        if runtime and runtime not in self._runtimes:
            raise InvalidError(f"no runtime is named {runtime!r}; there are: {', '.join(sorted(self._runtimes))}")
        if not predictor.get("model"):
            return await self._admit(namespace, None, runtime)
        reference = Reference.parse(predictor["model"])
        version = await self._catalogue.resolve(reference)
        if denied := await self._denied(namespace, await self._trust(version, runtime), version, runtime):
            return denied
        if wanted := await self._wanted(version, runtime):
            return await self._after_extraction(namespace, version, runtime, wanted)
        return await self._admit(namespace, version, runtime)

    async def _wanted(self, version: Version, runtime: str) -> str:
        """Return what a job must find out before the version can be served; empty for nothing."""
        if version.metadata.format in names() and await inspection_of(self._store, version.content) is None:
            return "the inspection"
        return "the signature" if lacks_signature(version) and not self._runs_commands(runtime) else ""

    async def _trust(self, version: Version | None, runtime: str) -> Trust | None:
        if version is None or self._runs_commands(runtime):
            return Trust.CODE
        return trust_as(await inspection_of(self._store, version.content), version.metadata.format)

    async def _denied(
        self, namespace: str, trust: Trust | None, version: Version | None, runtime: str
    ) -> ResolvedModel | None:
        if trust is not Trust.CODE or await allows_code(self._store, namespace):
            return None
        if version is None or self._runs_commands(runtime):
            what = "a command is code"
        else:
            what = f"{version.reference} is code (format {version.metadata.format or 'unknown'})"
        message = f"{what}, and the project {namespace} does not allow code: run `klever allow-code {namespace}`"
        return ResolvedModel(Resolution.DENIED, message, runtime=runtime, reason="CodeNotAllowed", trust=trust)

    async def _admit(self, namespace: str, version: Version | None, runtime: str) -> ResolvedModel:
        """Return what has all that it needs, unless it is code where code is not allowed."""
        trust = await self._trust(version, runtime)
        if trust is None:
            return ResolvedModel(Resolution.SIGNATURE_PENDING, "its content has not been inspected")
        if denied := await self._denied(namespace, trust, version, runtime):
            return denied
        runtime = runtime or default_runtime(self._runtimes, version.metadata.format if version else "")
        protocol = self._runtimes[runtime].protocol
        return ResolvedModel(Resolution.RESOLVED, version=version, runtime=runtime, protocol=protocol, trust=trust)

    def _runs_commands(self, runtime: str) -> bool:
        return bool(runtime) and self._runtimes[runtime].runs_commands

    async def _after_extraction(self, namespace: str, version: Version, runtime: str, wanted: str) -> ResolvedModel:
        """Return what the job found out, or the job that is to be created.

        A job is in the model's own project, as a push has it, so that it is one for all who wait. For a model of
        another registry, or of a project that does not exist here, it is beside the Serving.
        """
        reference = version.reference
        namespaces = (namespace,) if reference.host else (reference.project, namespace)
        job = await find_extraction(self._store, namespaces, version)
        if job is None or (has_ended(job) and await self._is_outdated(version, job)):
            extraction = Extraction(version, namespaces, job)
            message = f"modeljob {namespaces[0]}/{extraction.name} finds out {wanted}"
            return ResolvedModel(Resolution.SIGNATURE_PENDING, message, extraction=extraction)
        name = "{namespace}/{name}".format_map(job["metadata"])
        if not has_ended(job):
            return ResolvedModel(Resolution.SIGNATURE_PENDING, f"modeljob {name} finds out {wanted}")
        if job["status"]["phase"] == "Failed":
            return _unread(job, f"modeljob {name} could not report {wanted}")
        digest = Digest.parse(job["status"]["result"]["digest"])
        extracted = await self._catalogue.resolve(reference.with_digest(digest))
        return await self._admit(namespace, extracted, runtime)

    async def _is_outdated(self, version: Version, job: Object) -> bool:
        if job["status"]["phase"] == "Succeeded":  # without an inspection it is of an older platform
            return await inspection_of(self._store, version.content) is None
        ended = parse_time(job["status"]["completionTime"])
        return is_retried(job) and self._clock() - ended > timedelta(seconds=RETRY_SECONDS)


def _pinned(predictor: dict[str, Any], digest: str) -> dict[str, Any]:
    """Return the predictor with its model pinned to a digest, if there is one."""
    if not digest:
        return predictor
    return {**predictor, "model": str(Reference.parse(predictor["model"]).with_digest(Digest.parse(digest)))}


def _unread(job: Object, what: str) -> ResolvedModel:
    message = f"{what}: {job['status'].get('message', '')}"
    if is_retried(job):
        return ResolvedModel(Resolution.WAITING, f"{message}; it is tried again", reason=_UNREAD)
    message = f"{message}; to try again push it anew, or delete the job"
    return ResolvedModel(Resolution.FAILED, message, reason=_UNREAD)
