from __future__ import annotations

import pytest

from klever.api.outcome import MAX_OUTCOME
from klever.errors import InvalidError
from klever.executors import Outcome


def test_comes_back_as_it_was() -> None:
    outcome = Outcome(10003, "läuft nicht", "RunFailed", {"digest": "sha256:0", "n": 1})
    assert Outcome.parse(outcome.encode().decode()) == outcome


@pytest.mark.parametrize("character", ["x", "ä", "\U0001f600", '"', "\n", "\x01"])
def test_cuts_a_message_that_is_too_long(character: str) -> None:
    outcome = Outcome(1, character * 10_000, result={"report": "kept"})
    encoded = outcome.encode()
    assert MAX_OUTCOME - 16 <= len(encoded) <= MAX_OUTCOME
    parsed = Outcome.parse(encoded.decode())
    assert parsed is not None
    assert outcome.message.startswith(parsed.message)
    assert parsed.result == outcome.result


def test_refuses_a_result_that_is_too_long() -> None:
    with pytest.raises(InvalidError):
        Outcome(0, result={"report": "x" * 5000}).encode()


@pytest.mark.parametrize(
    "message",
    [
        "[" * MAX_OUTCOME,
        '{"exitCode": 1, "result": {"report": ' + "[" * 1500 + "]" * 1500 + "}}",
        '{"exitCode": Infinity}',
        '{"exitCode": NaN}',
        '{"exitCode": ' + "9" * 4000 + "}",
        '{"exitCode": 1, "message": "\\ud800"}',
        '{"exitCode": 1, "result": {"digest": NaN}}',
    ],
)
def test_a_hostile_message_is_none(message: str) -> None:
    assert Outcome.parse(message) is None


@pytest.mark.parametrize("message", ["", "killed by SIGKILL", "5", "[]", "{}", '{"exitCode": "x"}', "null", '{"a":'])
def test_is_none_for_other_messages(message: str) -> None:
    assert Outcome.parse(message) is None
