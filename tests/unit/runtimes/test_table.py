"""Runtimes by name and by format."""

from __future__ import annotations

import pytest

from klever.errors import InvalidError
from klever.runtimes import Runtime
from klever.runtimes.table import RUNTIMES, create, create_all, default_runtime


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_every_row_is_a_runtime_of_its_name(name: str) -> None:
    assert create(name).name == name
    members = {*dir(Runtime), *Runtime.__annotations__}
    assert {member for member in members if member[0] != "_" and not hasattr(create(name), member)} == set()


def test_an_unknown_runtime_names_those_that_there_are() -> None:
    with pytest.raises(InvalidError, match=r"'abacus'.*custom, llamacpp, openscoring, triton"):
        create("abacus")


def test_every_format_has_a_runtime_or_says_what_is_served() -> None:
    runtimes = create_all()
    assert default_runtime(runtimes, "ONNX") == "triton"
    assert default_runtime(runtimes, "SavedModel") == "triton"  # an installed server may have its backend
    assert default_runtime(runtimes, "PMML") == "openscoring"
    assert default_runtime(runtimes, "GGUF") == "llamacpp"
    with pytest.raises(InvalidError, match=r"'SafeTensors': must be one of .*ONNX"):
        default_runtime(runtimes, "SafeTensors")
