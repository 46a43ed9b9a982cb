"""YAML of people: nothing of it is lost silently, whatever it is."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klever.api.documents import read_document, read_documents
from klever.errors import InvalidError


def test_documents_have_their_place() -> None:
    assert list(read_documents(b"a: 1\n---\n---\nb: [x]\n", "FILE")) == [
        ("FILE[0]", {"a": 1}),
        ("FILE[2]", {"b": ["x"]}),
    ]
    assert list(read_documents(b"a: 1\n", "FILE")) == [("FILE", {"a": 1})]
    assert list(read_documents(b"", "FILE")) == []
    assert read_document(b"", "FILE") is None


def test_a_date_is_text_and_an_anchor_is_what_it_stands_for() -> None:
    content = b"a: 2024-13-45\nb: &b {x: 1}\nc: {<<: *b, y: 2}\nd: *b\n"
    assert read_document(content, "FILE") == {
        "a": "2024-13-45", "b": {"x": 1}, "c": {"x": 1, "y": 2}, "d": {"x": 1},
    }  # fmt: skip
    assert read_document(b"a: 0.10\nb: yes\n", "FILE", text=True) == {"a": "0.10", "b": "yes"}


def test_a_time_is_text_and_so_is_a_number_that_is_too_long() -> None:
    """As numbers of base 60 or of a million digits, they would take minutes of a processor."""
    assert read_document(b"{a: 12:30, b: 1:30.5, c: -1_000, d: 0x1F, e: 1.5, f: !!int '1:1'}", "FILE") == {
        "a": "12:30", "b": "1:30.5", "c": -1000, "d": 31, "e": 1.5, "f": "1:1",
    }  # fmt: skip
    longest = "9" * 400
    content = f"a: {longest}\nb: {longest}9\nc: {'1:' * 250_000}1\nd: 0x{'f' * 500_000}\n"
    read = read_document(content.encode(), "FILE")
    assert {name: type(value) for name, value in read.items()} == {"a": int, "b": str, "c": str, "d": str}


def test_keys_are_text_as_they_stand() -> None:
    content = b"{1: a, true: b, 0x1: c, ~: d, 1.0: e}"
    assert read_document(content, "FILE") == {"1": "a", "true": "b", "0x1": "c", "~": "d", "1.0": "e"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: \xff", "FILE must be UTF-8 text: byte 3 is 0xff"),
        (b"a: [", "FILE is not valid YAML"),
        (b"a: \x07", "FILE is not valid YAML"),
        (b"a: !!int x", "FILE is not valid YAML"),
        (b"{[a]: b}", "FILE is not valid YAML"),
        (b"a: {1: x, '1': y}", "a.1: duplicate key"),
        (b"[" * 100_000, "FILE must be nested at most 200 levels deep"),
        (b"a: 1\n---\nb: {c: [{d: 1, e: 2, d: 3}]}", r"FILE\[1\]: b.c\[0\].d: duplicate key"),
    ],
)
def test_an_invalid_document_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        list(read_documents(content, "FILE"))


def test_one_document_is_not_two() -> None:
    with pytest.raises(InvalidError, match="FILE must have one document, not 2"):
        read_document(b"a: 1\n---\nb: 1\n", "FILE")


@settings(deadline=None)
@given(st.binary(max_size=40) | st.text("ab:-[]{}&*!? \n<", max_size=40).map(str.encode))
def test_any_bytes_are_a_document_or_refused(content: bytes) -> None:
    for read in (lambda: list(read_documents(content, "FILE")), lambda: read_document(content, "FILE", text=True)):
        with suppress(InvalidError):
            read()
