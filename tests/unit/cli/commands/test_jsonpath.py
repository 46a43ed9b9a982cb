"""JSONPath templates, with the results that kubectl has."""

from __future__ import annotations

from typing import Any

import pytest

from klever.cli.commands.jsonpath import Template
from klever.errors import InvalidError

LIST: Any = {
    "kind": "List",
    "items": [
        {
            "metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "x", "my-team": "vision"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Progressing", "status": "False"}]},
            "spec": {"replicas": 2, "paused": False},
        },
        {"metadata": {"name": "b"}, "spec": {"replicas": 1, "env": [{"name": "K", "value": "a.b/c"}]}},
    ],
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{.kind}", "List"),
        ("{$.kind}", "List"),
        (".kind", "List"),
        ("kind: {.kind}!", "kind: List!"),
        ("{.items[*].metadata.name}", "a b"),
        ("{.items[0].metadata.name}", "a"),
        ("{.items[-1:].metadata.name}", "b"),
        ("{.items[0:2].metadata.name}", "a b"),
        ("{.items[0,1].metadata.name}", "a b"),
        ("{..name}", "a b K"),
        ("{.items[0].spec}", '{"replicas":2,"paused":false}'),
        ("{.items[0]['metadata'].name}", "a"),
        ('{.items[?(@.metadata.name=="b")].spec.replicas}', "1"),
        ("{.items[?(@.spec.replicas>1)].metadata.name}", "a"),
        ('{.items[1].spec.env[?(@.value=="a.b/c")].name}', "K"),
        ('{.items[*].status.conditions[?(@.type=="Ready")].status}', "True"),
        (r"{.items[0].metadata.labels.app\.kubernetes\.io/name}", "x"),
        ("{.items[0].metadata.labels.my-team}", "vision"),
        ("{.items[0].spec.paused}", "false"),
        ("{.nothing.here}", ""),
        (r'{range .items[*]}{.metadata.name}{"\t"}{.spec.replicas}{"\n"}{end}', "a\t2\nb\t1\n"),
        ("{range .items[*]}{@.metadata.name},{end}", "a,b,"),
        ("{range .items[*]}[{range .spec.env[*]}{.name}{end}]{end}", "[][K]"),
        ("{'{'}{.kind}{'}'}", "{List}"),
    ],
)
def test_a_template_gives_the_text_of_kubectl(template: str, text: str) -> None:
    assert Template.parse(template).render(LIST) == text


@pytest.mark.parametrize(
    "template",
    ["{.kind", "{range .items[*]}", "{end}", "{.items[}", "{.items[?(@.a=)]}", '{"\\x"}', "{'}", "{.a | .b}"],
)
def test_a_wrong_template_is_an_invalid_value(template: str) -> None:
    with pytest.raises(InvalidError, match="JSONPath"):
        Template.parse(template)
