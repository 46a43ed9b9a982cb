"""Pins each predictor's model: a tag is resolved once per generation, and waits for its signature."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from klever.api.codec import parse_time
from klever.api.kinds import Object
from klever.catalog.catalogue import Catalogue, Version
from klever.controllers.extraction import RETRY_SECONDS, ensure_extraction, is_retried, wants_extraction
from klever.controllers.serving.snapshot import Resolution, ResolvedModel, pin_of
from klever.errors import InvalidError, KleverError, NotFoundError
from klever.oci.digest import Digest
from klever.oci.reference import Reference
from klever.runtimes.table import RUNTIMES, default_runtime
from klever.store import Store

__all__ = ["ModelResolver"]

_UNUSABLE = "ModelUnusable"
_UNREAD = "SignatureUnread"


class ModelResolver:
    def __init__(
        self, store: Store, catalogue: Catalogue, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._clock = clock

    async def resolve(self, serving: Object, *, extract: bool = True) -> dict[str, ResolvedModel]:
        """Return what became of each predictor's model, by predictor name. Errors are in the result.

        With `extract` a signature that is missing gets its job; without, nothing is created.
        """
        return {p["name"]: await self._predictor(serving, p, extract=extract) for p in serving["spec"]["predictors"]}

    async def _predictor(self, serving: Object, predictor: dict[str, Any], *, extract: bool) -> ResolvedModel:
        try:
            return await self._resolve(serving, predictor, extract=extract)
        except InvalidError as error:
            return ResolvedModel(Resolution.FAILED, error.message, reason=_UNUSABLE)
        except NotFoundError as error:
            return ResolvedModel(Resolution.WAITING, error.message, reason="ModelNotFound")
        except KleverError as error:  # refused, away, full, damaged: it is asked again, and said meanwhile
            message = f"{predictor.get('model', '')}: {error.message}"
            return ResolvedModel(Resolution.WAITING, message, reason="RegistryUnavailable")

    async def _resolve(self, serving: Object, predictor: dict[str, Any], *, extract: bool) -> ResolvedModel:
        runtime = predictor.get("runtime") or ("custom" if predictor.get("command") else "")
        if runtime and runtime not in RUNTIMES:
            raise InvalidError(f"no runtime is named {runtime!r}; there are: {', '.join(sorted(RUNTIMES))}")
        if not predictor.get("model"):
            return ResolvedModel(Resolution.RESOLVED, runtime=runtime)
        reference = Reference.parse(predictor["model"])
        if digest := pin_of(serving, predictor).get("digest"):
            reference = reference.with_digest(Digest.parse(digest))
        version = await self._catalogue.resolve(reference)
        if wants_extraction(version) and runtime != "custom":
            if not extract:
                return ResolvedModel(Resolution.SIGNATURE_PENDING, f"the signature of {reference} is not read yet")
            return await self._after_extraction(serving, version, runtime)
        return ResolvedModel(
            Resolution.RESOLVED, version=version, runtime=runtime or default_runtime(version.config.format)
        )

    async def _after_extraction(self, serving: Object, version: Version, runtime: str) -> ResolvedModel:
        job = await self._extraction(serving["metadata"]["namespace"], version)
        name, status = "{namespace}/{name}".format_map(job["metadata"]), job.get("status", {})
        if status.get("phase") == "Failed":
            message = f"modeljob {name} could not read its signature: {status.get('message', '')}"
            if is_retried(job):
                return ResolvedModel(Resolution.WAITING, f"{message}; it is tried again", reason=_UNREAD)
            message = f"{message}; to try again push it anew, or delete the job"
            return ResolvedModel(Resolution.FAILED, message, reason=_UNREAD)
        if status.get("phase") != "Succeeded":
            return ResolvedModel(Resolution.SIGNATURE_PENDING, f"modeljob {name} reads its signature")
        digest = Digest.parse(status["result"]["digest"])
        extracted = await self._catalogue.resolve(version.reference.with_digest(digest))
        return ResolvedModel(
            Resolution.RESOLVED, version=extracted, runtime=runtime or default_runtime(extracted.config.format)
        )

    async def _extraction(self, namespace: str, version: Version) -> Object:
        """Find or create the job: in the model's own project, as a push does, so that it is one for all who wait.

        A model of another registry, or of a project that is none here, has it beside the Serving.
        """
        if not version.reference.host:
            with suppress(NotFoundError):
                return await ensure_extraction(self._store, version.reference.project, version, self._is_outdated)
        return await ensure_extraction(self._store, namespace, version, self._is_outdated)

    def _is_outdated(self, job: Object) -> bool:
        ended = parse_time(job["status"]["completionTime"])
        return is_retried(job) and self._clock() - ended > timedelta(seconds=RETRY_SECONDS)
