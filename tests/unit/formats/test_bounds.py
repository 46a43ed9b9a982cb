"""Signatures whose sizes would become memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from klever.errors import InvalidError
from klever.formats import Details, LanguageModel, Signature, Tensor
from klever.formats.bounds import check_bounds, elements
from klever.limits import DEFAULTS, Limits

SMALL = Signature((Tensor("x", (-1, 3), "float32"),), (Tensor("y", None, "string"),), {"Add": 1})


def with_details(**fields: Any) -> Signature:
    return replace(SMALL, details=Details(**fields))


def with_input(tensor: Tensor) -> Signature:
    return replace(SMALL, inputs=(tensor,))


@pytest.mark.parametrize(
    "signature",
    [
        SMALL,
        Signature(),
        with_input(Tensor("x", (1, 3, 256, 256, 64), "uint8")),
        with_input(Tensor("x", (256, 256, 256), "float32")),
        with_input(Tensor("x", (-1,) * 32, "float64")),
        with_input(Tensor("x", (0, -(1 << 62)), "float32")),
        with_input(Tensor("x", (), "sequence(map(int64,float32))")),
    ],
)
def test_a_signature_within_the_limits_passes(signature: Signature) -> None:
    check_bounds(signature, DEFAULTS)


@pytest.mark.parametrize(
    ("signature", "limit", "field"),
    [
        (with_input(Tensor("x", (2147483648,), "uint8")), "tensor_elements", "signature.inputs[0].size"),
        (with_input(Tensor("x", (1 << 62,) * 30, "uint8")), "tensor_elements", "signature.inputs[0].size"),
        (with_input(Tensor("x", (1 << 32, 1 << 32), "uint8")), "tensor_elements", "signature.inputs[0].size"),
        (with_input(Tensor("x", (-1 << 62, 1 << 62), "uint8")), "tensor_elements", "signature.inputs[0].size"),
        (with_input(Tensor("x", (1,) * 10_000, "uint8")), "tensor_rank", "signature.inputs[0].size"),
        (with_input(Tensor("x", (1 << 25,), "float32")), "example_bytes", "signature.inputs"),
        (with_input(Tensor("x", (1 << 24,), "complex128")), "example_bytes", "signature.inputs"),
        (with_input(Tensor("x", (1 << 26,), "string")), "example_bytes", "signature.inputs"),
        (replace(SMALL, inputs=(Tensor("x", (1 << 25,), "int8"),) * 3), "example_bytes", "signature.inputs"),
        (replace(SMALL, outputs=(Tensor("y", (1 << 27,), "int8"),)), "tensor_elements", "signature.outputs[0].size"),
        (replace(SMALL, inputs=(Tensor("x", (1,), "int8"),) * 100_000), "tensors", "signature.inputs"),
        (replace(SMALL, outputs=(Tensor("x", (1,), "int8"),) * 1_001), "tensors", "signature.outputs"),
        (with_input(Tensor("x" * 1_025, (1,), "int8")), "name_length", "signature.inputs[0]"),
        (with_input(Tensor("x", (1,), "d" * 1_025)), "name_length", "signature.inputs[0]"),
        (with_input(Tensor("x", values=("v" * 1_025,))), "name_length", "signature.inputs[0]"),
        (with_input(Tensor("x", values=("v",) * 10_001)), "tensor_values", "signature.inputs[0].values"),
        (replace(SMALL, layers={f"op{n}": 1 for n in range(10_001)}), "operators", "signature.layers"),
        (replace(SMALL, layers={"o" * 1_025: 1}), "name_length", "signature.layers"),
        (with_details(classes=("c",) * 10_001), "tensor_values", "signature.details.classes"),
        (with_details(classes=("c" * 1_025,)), "name_length", "signature.details"),
        (with_details(producer="p" * 1_025), "name_length", "signature.details"),
        (with_details(warnings=("w",) * 101), "warnings", "signature.details.warnings"),
        (
            with_details(language_model=LanguageModel(architecture="a" * 1_025)),
            "name_length",
            "signature.details",
        ),
        (
            with_details(language_model=LanguageModel(chat_template="t" * ((1 << 16) + 1))),
            "chat_template_length",
            "signature.details.languageModel",
        ),
    ],
)
def test_a_signature_beyond_a_limit_is_refused_by_its_name(signature: Signature, limit: str, field: str) -> None:
    with pytest.raises(InvalidError) as refused:
        check_bounds(signature, DEFAULTS)
    assert (refused.value.reason, refused.value.metadata) == ("LIMIT_EXCEEDED", {"limit": limit})
    assert [violation.field for violation in refused.value.violations] == [field]


def test_an_operator_may_allow_more() -> None:
    large = with_input(Tensor("x", (1 << 27,), "uint8"))
    check_bounds(large, Limits(tensor_elements=1 << 27, example_bytes=1 << 27))


@pytest.mark.parametrize(
    ("size", "count"),
    [(None, 1), ((), 1), ((2, 3), 6), ((-1, 3), 3), ((0, 3), 3), ((-7, 3), 3), ((1 << 62, 1 << 62), (1 << 63) - 1)],
)
def test_dynamic_dimensions_count_as_1_and_counting_ends(size: tuple[int, ...] | None, count: int) -> None:
    assert elements(Tensor("x", size)) == count
