"""The OpenAPI document describes every REST path of the protos."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from google.api import annotations_pb2

from klever.server.services import JOBS, MODELS, SERVER, SERVINGS

DOCUMENT: dict[str, Any] = json.loads((files("klever.v1alpha1") / "openapi.json").read_text())


def test_every_method_has_its_paths() -> None:
    expected = set()
    for service in (JOBS, MODELS, SERVER, SERVINGS):
        for method in service.methods:
            rule = method.GetOptions().Extensions[annotations_pb2.http]
            for binding in (rule, *rule.additional_bindings):
                verb = binding.WhichOneof("pattern")
                expected.add((getattr(binding, verb), verb))
    assert {(path, verb) for path, verbs in DOCUMENT["paths"].items() for verb in verbs} == expected


def test_every_reference_is_defined_and_every_operation_is_explained() -> None:
    text = json.dumps(DOCUMENT)
    for name in DOCUMENT["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text
    references = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert references == set(DOCUMENT["components"]["schemas"])
    operations = [operation for verbs in DOCUMENT["paths"].values() for operation in verbs.values()]
    assert all(operation["description"] for operation in operations)
    assert len({operation["operationId"] for operation in operations}) == len(operations)


def test_names_and_types_are_those_of_protos_json() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    status = schemas["ServingStatus"]["properties"]
    assert status["observedGeneration"]["format"] == "int64"
    assert status["readyReplicas"]["type"] == "integer"
    event = schemas["WatchServingsResponse"]["properties"]["type"]
    assert "MODIFIED" in event["enum"]
