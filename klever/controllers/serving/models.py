"""Pins the model of each predictor: resolves a tag once, has it inspected, and waits for its signature."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from klever.api.kinds import Object
from klever.api.text import parse_time
from klever.artifacts.metadata import SOURCE_LABEL
from klever.catalog.catalogue import Catalogue, Version
from klever.controllers.conversion import Conversion, is_made_from, served_target
from klever.controllers.extraction import Extraction, lacks_signature
from klever.controllers.inspections import allows_code, find_inspection, trust_as
from klever.controllers.jobs import RETRY_SECONDS, find_job, has_ended, is_retried
from klever.controllers.serving.snapshot import Resolution, ResolvedModel, read_pin
from klever.errors import InvalidError, KleverError, NotFoundError
from klever.formats import Trust, names
from klever.oci.digest import Digest
from klever.oci.reference import Reference
from klever.runtimes import Runtime
from klever.runtimes.table import COMMANDS, default_runtime
from klever.store import Store
from klever.traffic.replicas import runs_own_server

__all__ = ["ModelResolver"]

_UNUSABLE = "ModelUnusable"
_UNREAD = "SignatureUnread"
_UNCONVERTED = "ConversionFailed"
_RETRY = timedelta(seconds=RETRY_SECONDS)


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
        """Return the resolution of each predictor's model, by predictor name. The result also holds errors.

        A pinned tag stays pinned. This method only reads: the result names the jobs to create.
        """
        predictors = [_pinned(p, read_pin(serving, p).get("digest", "")) for p in serving["spec"]["predictors"]]
        return await self.resolve_predictors(serving["metadata"]["namespace"], predictors)

    async def resolve_predictors(
        self, namespace: str, predictors: Iterable[dict[str, Any]]
    ) -> dict[str, ResolvedModel]:
        """Return the resolution of each predictor's model, by predictor name. The result also holds errors."""
        return {p["name"]: await self._predictor(namespace, p) for p in predictors}

    async def _predictor(self, namespace: str, predictor: dict[str, Any]) -> ResolvedModel:
        try:
            return await self._resolve(namespace, predictor)
        except InvalidError as error:
            return ResolvedModel(Resolution.FAILED, error.message, reason=_UNUSABLE)
        except NotFoundError as error:
            return ResolvedModel(Resolution.WAITING, error.message, reason="ModelNotFound")
        except KleverError as error:  # transient: the next round tries again
            message = f"{predictor.get('model', '')}: {error.message}"
            return ResolvedModel(Resolution.WAITING, message, reason="RegistryUnavailable")

    async def _resolve(self, namespace: str, predictor: dict[str, Any]) -> ResolvedModel:
        runtime = predictor.get("runtime") or (COMMANDS if runs_own_server(predictor) else "")
        if runtime and runtime not in self._runtimes:
            raise InvalidError(f'unknown runtime "{runtime}": must be one of {", ".join(sorted(self._runtimes))}')
        if not predictor.get("model"):
            return await self._admit(namespace, None, runtime)
        version = await self._catalogue.resolve(Reference.parse(predictor["model"]))
        return await self._look(namespace, version, runtime)

    async def _look(self, namespace: str, version: Version, runtime: str) -> ResolvedModel:
        """Decide about a version: deny it, have it inspected first, have it converted first, or admit it."""
        if denied := await self._denied(namespace, await self._trust(version, runtime), version, runtime):
            return denied
        if wanted := await self._wanted(version, runtime):
            return await self._after_extraction(namespace, version, runtime, wanted)
        return await self._admit(namespace, version, runtime)

    async def _wanted(self, version: Version, runtime: str) -> str:
        """Return what a job must determine before the version can be served. Empty if nothing is missing."""
        if version.metadata.format in names() and await find_inspection(self._store, version.content) is None:
            return "the inspection"
        return "the signature" if lacks_signature(version) and not self._runs_commands(runtime) else ""

    async def _trust(self, version: Version | None, runtime: str) -> Trust | None:
        if version is None or self._runs_commands(runtime):
            return Trust.CODE
        return trust_as(await find_inspection(self._store, version.content), version.metadata.format)

    async def _denied(
        self, namespace: str, trust: Trust | None, version: Version | None, runtime: str
    ) -> ResolvedModel | None:
        if trust is not Trust.CODE or await allows_code(self._store, namespace):
            return None
        if version is None or self._runs_commands(runtime):
            what = "a command or an image is code"
        else:
            what = f"{version.reference} is code (format {version.metadata.format or 'unknown'})"
        message = f"{what}, and the project {namespace} does not allow code: run `klever allow-code {namespace}`"
        return ResolvedModel(Resolution.DENIED, message, runtime=runtime, reason="CodeNotAllowed", trust=trust)

    async def _admit(self, namespace: str, version: Version | None, runtime: str) -> ResolvedModel:
        """Admit a version that is complete, unless it is code in a project that does not allow code."""
        trust = await self._trust(version, runtime)
        if trust is None:
            return ResolvedModel(Resolution.SIGNATURE_PENDING, "its content has not been inspected")
        if denied := await self._denied(namespace, trust, version, runtime):
            return denied
        format_ = version.metadata.format if version else ""
        if version and not runtime and (target := served_target(format_, self._served())):
            return await self._after_conversion(namespace, version, target)
        runtime = runtime or default_runtime(self._runtimes, format_)
        chosen = self._runtimes[runtime]
        return ResolvedModel(
            Resolution.RESOLVED,
            version=version,
            runtime=runtime,
            protocol=chosen.protocol,
            trust=trust,
            tunable=chosen.tunable,
        )

    def _served(self) -> frozenset[str]:
        """Return the formats that a runtime of this platform serves."""
        return frozenset(name for one in self._runtimes.values() for name in one.formats if one.serves(name))

    def _runs_commands(self, runtime: str) -> bool:
        return bool(runtime) and self._runtimes[runtime].runs_commands

    async def _after_extraction(self, namespace: str, version: Version, runtime: str, wanted: str) -> ResolvedModel:
        """Return the result of the extraction job, or the job to create.

        The job is in the project of the model, like the job of a push, so that all Servings share it. A model of
        another registry, or of a project that does not exist here, gets its job in the namespace of the Serving.
        """
        reference, extraction = version.reference, Extraction(version, _namespaces(namespace, version))
        job = await find_job(self._store, extraction.namespaces, extraction.name)
        if job is None or (has_ended(job) and await self._is_outdated(version, job)):
            message = f"waiting for {wanted} by modeljob {extraction.namespaces[0]}/{extraction.name}"
            return ResolvedModel(Resolution.SIGNATURE_PENDING, message, job=replace(extraction, outdated=job))
        name = "{namespace}/{name}".format_map(job["metadata"])
        if not has_ended(job):
            return ResolvedModel(Resolution.SIGNATURE_PENDING, f"waiting for {wanted} by modeljob {name}")
        if job["status"]["phase"] == "Failed":
            return _unread(job, f"modeljob {name} could not determine {wanted}")
        digest = Digest.parse(job["status"]["result"]["digest"])
        extracted = await self._catalogue.resolve(reference.with_digest(digest))
        return await self._admit(namespace, extracted, runtime)

    async def _after_conversion(self, namespace: str, version: Version, target: str) -> ResolvedModel:
        """Return the resolution of the converted version, or the conversion job to create."""
        conversion = Conversion(version, target, _namespaces(namespace, version))
        converted = await self._find(conversion.written)
        if converted is not None and is_made_from(converted, version):
            return await self._look(namespace, converted, "")
        if converted is not None and SOURCE_LABEL not in converted.metadata.labels:
            message = (
                f"no runtime serves {version.metadata.format}, and {conversion.written} is not a conversion of it: "
                f"push what it names under another tag and delete it, so that the conversion can be written there"
            )
            return ResolvedModel(Resolution.FAILED, message, reason=_UNUSABLE)
        job = await find_job(self._store, conversion.namespaces, conversion.name)
        if job is None or (has_ended(job) and self._may_retry(job)):
            message = f"modeljob {conversion.namespaces[0]}/{conversion.name} converts it to {target}"
            return ResolvedModel(Resolution.CONVERTING, message, job=replace(conversion, outdated=job))
        name = "{namespace}/{name}".format_map(job["metadata"])
        if not has_ended(job):
            return ResolvedModel(Resolution.CONVERTING, f"modeljob {name} converts it to {target}")
        return _unread(job, f"modeljob {name} did not convert it to {target}", _UNCONVERTED)

    async def _find(self, reference: Reference) -> Version | None:
        try:
            return await self._catalogue.resolve(reference)
        except NotFoundError:
            return None

    def _may_retry(self, job: Object) -> bool:
        """Return whether to repeat a finished job, because its result is gone or its failure may be transient."""
        if job["status"]["phase"] == "Succeeded":
            return True
        return is_retried(job) and self._clock() - parse_time(job["status"]["completionTime"]) > _RETRY

    async def _is_outdated(self, version: Version, job: Object) -> bool:
        if job["status"]["phase"] == "Succeeded":  # an older Klever wrote no inspection
            return await find_inspection(self._store, version.content) is None
        return self._may_retry(job)


def _pinned(predictor: dict[str, Any], digest: str) -> dict[str, Any]:
    """Return the predictor with its model pinned to a digest, if it has a model."""
    if not digest:
        return predictor
    return {**predictor, "model": str(Reference.parse(predictor["model"]).with_digest(Digest.parse(digest)))}


def _namespaces(namespace: str, version: Version) -> tuple[str, ...]:
    """Return the namespaces for a job of a version: its project, then that of the Serving."""
    return (namespace,) if version.reference.host else (version.reference.project, namespace)


def _unread(job: Object, what: str, reason: str = _UNREAD) -> ResolvedModel:
    message = f"{what}: {job['status'].get('message', '')}"
    if is_retried(job):
        return ResolvedModel(Resolution.WAITING, f"{message}; Klever tries again", reason=reason)
    message = f"{message}; to try again, push the model again or delete the job"
    return ResolvedModel(Resolution.FAILED, message, reason=reason)
