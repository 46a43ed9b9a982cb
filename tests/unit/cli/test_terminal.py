"""What others wrote cannot control the terminal that shows it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from klever.cli.terminal import escaped

HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b31m\u202eevil\x7f\r"
PROGRAM = f"""
from klever.cli.errors import run_verb
from klever.errors import InvalidError
def verb():
    print({HOSTILE!r} + "\\ttab")
    raise InvalidError({HOSTILE!r})
run_verb("klever", verb, lambda error: "")
"""


def shown() -> bytes:
    """Run the program at a terminal of its own, and return what the terminal gets."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        content = b""
        while part := _read(ours):
            content += part
        os.close(ours)
        process.wait(60)
    return content


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, 4096)
    except OSError:  # Linux says EIO at the end of a terminal
        return b""


def test_a_terminal_gets_no_control_characters() -> None:
    text = shown().decode().replace("\r\n", "\n")
    assert "evil" in text
    assert text == escaped(text)
    assert "\ttab" in text
    assert len(text.splitlines()) == 2


def test_a_pipe_gets_text_as_it_is() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=False, timeout=60)
    assert done.stdout.decode().startswith(HOSTILE)


@pytest.mark.parametrize("text", ["plain", "tab\tand\nnewline", "Grüße, 数字, 🙂"])
def test_other_text_stays(text: str) -> None:
    assert escaped(text) == text
