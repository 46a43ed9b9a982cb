"""Exit codes by kind of error, and the end of a command with an error.

0 success · 1 any other error · 2 wrong usage · 3 not found · 4 conflict, or already exists · 5 not logged in, or not
allowed · 6 invalid input · 7 unavailable, or too slow · 8 full · 9 damaged data · 130 interrupted · 143 ended by
SIGTERM
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, NoReturn

from klever.cli.terminal import Terminal, escaped
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
TERMINATED: Final = 143

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
    """Return the code of the nearest class in the table; 1 if there is none."""
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), 1)


def run_verb(program: str, verb: Callable[[], int], hint: Callable[[KleverError], str]) -> int:
    """Run `verb` and return its exit code. An error becomes one line on standard error, with a hint.

    The errors of several objects come as a group, which is never empty. The first one decides the exit code.
    """
    _open_streams()
    try:
        with _ended_by_sigterm():
            code = verb()
        sys.stdout.flush()
    except KleverError as error:
        return _report(program, error, hint)
    except ExceptionGroup as group:
        if rest := group.split(KleverError)[1]:
            raise rest from group
        codes = [_report(program, error, hint) for error in group.exceptions if isinstance(error, KleverError)]
        return codes[0]
    except BrokenPipeError:
        # The reader of the output, such as `head`, has closed it. That is not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(escaped(f"{program}: {where}{error.strerror or str(error) or type(error).__name__}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return INTERRUPTED
    return code


def _report(program: str, error: KleverError, hint: Callable[[KleverError], str]) -> int:
    """Print an error as one line, and return its exit code."""
    advice = hint(error)
    line = " ".join(str(error).split()) or f"{error.reason} without a message: this is a bug in Klever"
    print(escaped(f"{program}: {line}{f'; {advice}' if advice else ''}"), file=sys.stderr)
    return exit_code(error)


def _open_streams() -> None:
    """Print characters that control the terminal, or that it cannot show, as escapes.

    Output to a closed stream is lost.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    if not isinstance(sys.stdout, io.TextIOWrapper):
        return
    if sys.stdout.isatty() and not isinstance(sys.stdout, Terminal):
        encoding, errors = sys.stdout.encoding, sys.stdout.errors
        sys.stdout = Terminal(sys.stdout.detach(), encoding=encoding, errors=errors, line_buffering=True)
    if sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end a command like Ctrl-C, so that no file stays half-written. An existing handler stays."""
    before = signal.getsignal(signal.SIGTERM)
    if before is not signal.SIG_DFL:
        yield
        return
    with suppress(ValueError):  # only the main thread can handle signals
        signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        with suppress(ValueError):
            signal.signal(signal.SIGTERM, before)


def _terminate(_number: int, _frame: object) -> NoReturn:
    sys.exit(TERMINATED)
