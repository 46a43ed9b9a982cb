"""Statuses of errors: they fit into the trailers of HTTP/2, whatever an error quotes."""

from __future__ import annotations

import pytest
from grpc_status import rpc_status

from klever.errors import FieldViolation, InvalidError, KleverError, NotFoundError
from klever.server.errors import shortened, to_status

LONGEST = 32 << 10


@pytest.mark.parametrize("character", ["x", "\0", "\N{SNOWMAN}", "\N{PILE OF POO}"])
@pytest.mark.parametrize("kind", ["violations", "metadata"])
def test_trailers_are_short(character: str, kind: str) -> None:
    text = character * 100_000
    error: KleverError = NotFoundError(text, metadata={"name": text})
    if kind == "violations":
        error = InvalidError(text, violations=(FieldViolation(text, text),) * 100)
    status = rpc_status.to_status(to_status(error, "r1"))
    details = sum(len(value) * 4 // 3 for _, value in status.trailing_metadata)
    assert details + 3 * len(status.details.encode()) < LONGEST  # base64, and %XX for each byte


def test_a_text_is_cut_between_characters() -> None:
    assert shortened("short", 5) == "short"
    assert shortened("\N{SNOWMAN}" * 5, 10) == "\N{SNOWMAN}" * 2 + "..."
    assert shortened("\ud800") == "?"
