"""What tests assert of errors: their reason and fields, never their wording."""

from __future__ import annotations

from collections.abc import Callable

from klever.errors import InvalidError, KleverError


def because(reason: str, *fields: str) -> Callable[[KleverError], bool]:
    """Return a check for `pytest.raises`: the error has this reason, and violations of exactly these fields."""

    def check(error: KleverError) -> bool:
        violations = error.violations if isinstance(error, InvalidError) else ()
        return error.reason == reason and tuple(violation.field for violation in violations) == fields

    return check
