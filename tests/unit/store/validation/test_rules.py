"""CEL rules: patterns in them mean what RE2 says, and an evaluation leaves no memory behind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

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


def test_evaluating_a_pattern_leaves_no_memory_behind() -> None:
    """The CEL library never frees the arguments of functions that are written in Python."""
    value, one = "x" * 100_000, node("self.matches('^x')")
    before = resident()
    for _ in range(1_000):
        assert not list(check_rules(one, value, None, "f"))
    assert resident() - before < 30


def resident() -> int:
    """MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) >> 10
