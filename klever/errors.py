"""The exception tree, independent of any transport.

    KleverError
    ├── InvalidError            the input can never work; carries field violations
    ├── NotFoundError
    ├── AlreadyExistsError
    ├── ConflictError           a compare-and-swap failed, or a precondition no longer holds
    ├── FailedPreconditionError the state of the object or the machine does not allow it now
    ├── UnauthenticatedError
    ├── PermissionDeniedError
    ├── ExpiredError            a watch position or page token is too old: list again
    ├── ExhaustedError          disk, memory, queue or quota is full
    ├── UnavailableError        a dependency does not answer; a retry may help
    ├── DeadlineError           it took longer than the caller or the bound allows
    └── IntegrityError          bytes do not match their digest, or stored data is damaged

The message of an error says what is wrong and where. `reason` is a stable UPPER_SNAKE word for programs; the message is
for people. `klever.server.errors` maps errors to gRPC, `klever.client.errors` maps them back, `klever.cli.errors` maps
them to exit codes, `klever.registry.errors` to HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "AlreadyExistsError",
    "ConflictError",
    "DeadlineError",
    "ExhaustedError",
    "ExpiredError",
    "FailedPreconditionError",
    "FieldViolation",
    "IntegrityError",
    "InvalidError",
    "KleverError",
    "NotFoundError",
    "PermissionDeniedError",
    "UnauthenticatedError",
    "UnavailableError",
]


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One invalid field.

    `field` is a Kubernetes field path (`spec.predictors[1].traffic`). `description` follows it in a message (`must be
    between 0 and 100, not 120`).
    """

    field: str
    description: str

    def __str__(self) -> str:
        return f"{self.field}: {self.description}" if self.field else self.description


class KleverError(Exception):
    """Base of every error that Klever raises on purpose.

    `reason` overrides that of the class. `metadata` has details for programs (names, digests, never secrets).
    """

    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, reason: str = "", metadata: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = metadata or {}

    def __str__(self) -> str:
        return self.message


class InvalidError(KleverError):
    """The input can never work without a change."""

    default_reason = "INVALID"

    def __init__(
        self,
        message: str = "",
        *,
        violations: tuple[FieldViolation, ...] = (),
        reason: str = "",
        metadata: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message or "; ".join(map(str, violations)), reason=reason, metadata=metadata)
        self.violations = violations


class NotFoundError(KleverError):
    default_reason = "NOT_FOUND"


class AlreadyExistsError(KleverError):
    default_reason = "ALREADY_EXISTS"


class ConflictError(KleverError):
    default_reason = "CONFLICT"


class FailedPreconditionError(KleverError):
    default_reason = "FAILED_PRECONDITION"


class UnauthenticatedError(KleverError):
    default_reason = "UNAUTHENTICATED"


class PermissionDeniedError(KleverError):
    default_reason = "PERMISSION_DENIED"


class ExpiredError(KleverError):
    default_reason = "EXPIRED"


class ExhaustedError(KleverError):
    default_reason = "EXHAUSTED"


class UnavailableError(KleverError):
    default_reason = "UNAVAILABLE"


class DeadlineError(KleverError):
    default_reason = "DEADLINE_EXCEEDED"


class IntegrityError(KleverError):
    default_reason = "DATA_LOSS"
