"""The outcome of a task, in its termination message.

An exit code has 8 bits, but the codes of the original's tasks are 10000 and above, and a task also has a result. The
outcome is therefore a JSON object, bounded by Kubernetes' limit for termination messages:

    {"exitCode": 10001, "reason": "PullFailed", "message": "cannot pull …", "result": {"digest": "sha256:…"}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from klever.errors import InvalidError

__all__ = ["MAX_OUTCOME", "Outcome"]

MAX_OUTCOME: Final = 4096
"""The largest encoded outcome in bytes (Kubernetes' limit of a container's termination message)."""


_MAX_EXIT_CODE: Final = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a task. `exit_code` 0 is success; `reason` is an UpperCamel word for conditions."""

    exit_code: int
    message: str = ""
    reason: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the termination message, with `message` cut if it is long. Raises `InvalidError` for a long result."""
        message = self.message
        while True:
            content = {"exitCode": self.exit_code, "reason": self.reason, "message": message, "result": self.result}
            encoded = json.dumps(content, ensure_ascii=False).encode(errors="replace")
            excess = len(encoded) - MAX_OUTCOME
            if excess <= 0:
                return encoded
            if not message:
                raise InvalidError(
                    f"the task's result has {len(encoded)} bytes, but a termination message holds {MAX_OUTCOME}"
                )
            message = message[
                : -max(1, excess // 6)
            ]  # a character has at most 6 bytes, so this never cuts more than needed

    @classmethod
    def parse(cls, message: str) -> Outcome | None:
        """Return the outcome in a termination message, None if there is none.

        The message is untrusted: it may be nested too deep for the stack, or contain values that no store can keep.
        """
        try:
            content = json.loads(message)
            if not -_MAX_EXIT_CODE <= content["exitCode"] <= _MAX_EXIT_CODE:
                return None
            json.dumps(content, ensure_ascii=False, allow_nan=False).encode()  # rejects surrogates
            return cls(
                int(content["exitCode"]),
                str(content.get("message", "")),
                str(content.get("reason", "")),
                dict(content.get("result") or {}),
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
