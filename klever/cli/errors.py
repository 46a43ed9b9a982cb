"""Exit codes by kind of error, and how a command ends with one.

0 done · 1 any other error · 2 wrong usage · 3 not found · 4 conflict, or exists already · 5 not logged in, or not
allowed · 6 invalid input · 7 unavailable, or too slow · 8 full · 9 damaged data · 130 interrupted
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Final

from klever.errors import (
    AlreadyExistsError,
    ConflictError,
    DeadlineError,
    ExhaustedError,
    FailedPreconditionError,
    IntegrityError,
    InvalidError,
    KleverError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
)

__all__ = ["EXIT_CODES", "USAGE", "exit_code", "run_verb"]

USAGE: Final = 2
INTERRUPTED: Final = 130

EXIT_CODES: Final[dict[type[KleverError], int]] = {
    NotFoundError: 3,
    AlreadyExistsError: 4,
    ConflictError: 4,
    FailedPreconditionError: 4,
    UnauthenticatedError: 5,
    PermissionDeniedError: 5,
    InvalidError: 6,
    UnavailableError: 7,
    DeadlineError: 7,
    ExhaustedError: 8,
    IntegrityError: 9,
}


def exit_code(error: KleverError) -> int:
    """The code of the nearest class in the table; 1 if there is none."""
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), 1)


def run_verb(program: str, verb: Callable[[], int], hint: Callable[[KleverError], str]) -> int:
    """Run `verb` and return its exit code; an error becomes one line on standard error, with what to do next."""
    try:
        code = verb()
        sys.stdout.flush()
    except KleverError as error:
        advice = hint(error)
        line = " ".join(str(error).split()) or f"{error.reason} and no more was said: this is a bug of ours"
        print(f"{program}: {line}{f'; {advice}' if advice else ''}", file=sys.stderr)
        return exit_code(error)
    except BrokenPipeError:
        # Who read our output has gone, `head` for one: that is no error, and nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"{program}: {where}{error.strerror or str(error) or type(error).__name__}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return INTERRUPTED
    return code
