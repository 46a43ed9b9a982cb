"""A recorded case (tests/data) goes the whole way: saved, pushed, inspected, deployed, and asked in every way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.e2e.platform import Platform, until
from tests.e2e.tensors import WAYS, Arrays, Metadata, to_arrays, to_metadata

__all__ = ["deploy", "goes_the_whole_way"]

DATA = Path(__file__).parents[1] / "data"


def deploy(platform: Platform, reference: str, name: str) -> None:
    """Serve a model and wait until it is Ready: some frameworks are imported for a minute on a busy machine."""
    platform.run("klever", "deploy", reference, "--name", name)
    until(lambda: platform.get("servings", name).get("status", {}).get("phase") == "Ready", 240)


def goes_the_whole_way(platform: Platform, case: str) -> None:
    """Check that a case, such as `serving/sklearn`, is served with its framework's answers."""
    name = Path(case).name
    recorded = json.loads((DATA / case / "case.json").read_text())
    wanted = to_arrays(recorded["outputs"])
    platform.push(f"team/{name}:v1", case)
    deploy(platform, f"team/{name}:v1", name)
    assert described(platform, name) == to_metadata(signature(platform, f"team/{name}:v1"))
    for way, ask in WAYS.items():
        check(ask(platform, name, recorded["inputs"]), wanted, way)
    first = [{**tensor, **first_row(tensor)} for tensor in recorded["inputs"]]
    check(WAYS["JSON"](platform, name, first), {key: rows[:1] for key, rows in wanted.items()}, "one row")
    example = json.loads(platform.run("klever", "predict", name, "--example").stdout)
    assert {output["name"] for output in example["outputs"]} == wanted.keys()
    platform.run("klever", "delete", "serving", name)


def first_row(tensor: dict[str, Any]) -> dict[str, Any]:
    rows, *rest = tensor["shape"]
    return {"shape": [1, *rest], "data": tensor["data"][: len(tensor["data"]) // rows]}


def described(platform: Platform, name: str) -> Metadata:
    """What a server says of its model."""
    about = json.loads(platform.http("GET", f"/seldon/default/{name}/v2/models/{name}")[1])
    return {
        kind: {tensor["name"]: (tensor["datatype"], tensor["shape"]) for tensor in about[kind]}
        for kind in ("inputs", "outputs")
    }


def signature(platform: Platform, reference: str) -> dict[str, Any]:
    """What was extracted from a version."""
    version = json.loads(platform.run("klever", "describe", "version", reference, "-o", "json").stdout)
    found: dict[str, Any] = version["signature"]
    return found


def check(answer: Arrays, wanted: Arrays, way: str) -> None:
    assert answer.keys() == wanted.keys(), way
    for name, array in answer.items():
        assert (array.dtype, array.shape) == (wanted[name].dtype, wanted[name].shape), (way, name)
        if array.dtype == object:
            assert array.tolist() == wanted[name].tolist(), (way, name)
        else:
            np.testing.assert_allclose(array, wanted[name], rtol=1e-6, err_msg=f"{way} {name}")
