"""CEL rules: patterns in them mean what RE2 says, and an evaluation leaves no memory behind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from cel_expr_python import cel

from klever.api.kinds import KINDS
from klever.store.validation.rules import check_rules
from klever.store.validation.schemas import Node, load_schema
from tests.unit.api.test_environment import HARMLESS, HOSTILE, PLATFORM

TEXTS = (
    *HARMLESS, *HOSTILE, *PLATFORM, "", "TZDIR\n", "\nTZDIR", "x_PROXY\n", "a\n", "\u00e9", "\x7f", r"\Q", r"\x{41}",
    "{{{{{{{{{", "{" + "a{" * 8, "{1,999}", "{99}", "(a){9}(b){9}", "(a){1,99}", "(a){,99}", "(a){9",
)  # fmt: skip


def node(rule: str, **schema: Any) -> Node:
    return Node({**schema, "x-kubernetes-validations": [{"rule": rule, "message": "no"}]})


def test_a_literal_pattern_matches_as_in_re2() -> None:
    re2 = cel.NewEnv(variables={"self": cel.Type.DYN})
    calls = set(re.findall(r"\.matches\(r?'[^']*'\)", " ".join(all_rules())))
    assert len(calls) >= 8
    for call in calls:
        program, ours = re2.compile(f"self{call}"), node(f"self{call}", type="string")
        for text in TEXTS:
            wanted = program.eval(data={"self": text}).value()
            assert (not list(check_rules(ours, text, None, "f"))) == wanted, (call, text)


def all_rules() -> list[str]:
    return [rule for kind in KINDS for rule in _rules(load_schema(kind))]


def _rules(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [rule for part in schema for rule in _rules(part)]
    if not isinstance(schema, dict):
        return []
    own = schema["rule"] if isinstance(schema.get("rule"), str) else ""
    return [own, *(rule for part in schema.values() for rule in _rules(part))]


@pytest.mark.parametrize(
    ("items", "holds"),
    [([{"n": 60}, {"n": 40}], True), ([{"n": 99}, {}], False), ([{"n": 100}, {}], True), ([], False)],
)
def test_a_sum_is_that_of_the_numbers_in_a_list(items: list[dict[str, int]], holds: bool) -> None:
    one = node("self.size() > 9 || self.filter(p, true).map(p, has(p.n) ? p.n : 0).sum() == 100 && [1, 2].sum() == 3")
    assert (not list(check_rules(one, items, None, "f"))) == holds


@pytest.mark.parametrize(
    ("rule", "value", "times"),
    [
        pytest.param("self.matches('^x')", "x" * 100_000, 1_000, id="pattern"),
        pytest.param("self.map(p, p).sum() == 2", [1, 1], 150_000, id="sum", marks=pytest.mark.slow),
    ],
)
def test_an_evaluation_leaves_no_memory_behind(rule: str, value: Any, times: int) -> None:
    """The CEL library never frees the arguments of functions that are written in Python."""
    one = node(rule)
    assert not list(check_rules(one, value, None, "f"))
    before = resident()
    for _ in range(times):
        assert not list(check_rules(one, value, None, "f"))
    assert resident() - before < 8


def resident() -> int:
    """MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) >> 10
