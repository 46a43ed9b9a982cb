"""The request paths of each runtime, and requests from values or with examples that its models accept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from klever.cli.commands import values
from klever.errors import InvalidError
from klever.limits import DEFAULTS
from klever.runtimes import openinference

__all__ = ["Requests", "requests_to"]


@dataclass(frozen=True, slots=True)
class Requests:
    """Paths below a Serving's URL: `about` describes the model, `infer` accepts requests.

    `example` makes a request from the response to `about`, and `encode` one from that response and values by their
    name. They raise `InvalidError` if that is not possible.
    """

    about: str
    infer: str
    example: Callable[[str], bytes]
    encode: Callable[[str, Mapping[str, Any]], bytes]


def requests_to(runtime: str, name: str) -> Requests:
    """Return the requests to a Serving on a runtime. Unknown runtimes speak the Open Inference Protocol."""
    return _REQUESTS.get(runtime, _open_inference)(name)


def _open_inference(name: str) -> Requests:
    return Requests(
        openinference.model_path(name),
        openinference.infer_path(name),
        lambda about: openinference.example(openinference.read_inputs(about), DEFAULTS),
        values.tensors,
    )


def _openai(name: str) -> Requests:
    body = {"model": name, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16}
    return Requests(
        "/openai/v1/models",
        "/openai/v1/chat/completions",
        lambda _: json.dumps(body).encode(),
        lambda _, fields: json.dumps({"model": name, **fields}).encode(),
    )


def _openscoring(name: str) -> Requests:
    path = f"/openscoring/model/{name}"
    return Requests(path, path, _arguments, values.arguments)


_REQUESTS: Final[Mapping[str, Callable[[str], Requests]]] = {"llamacpp": _openai, "openscoring": _openscoring}


def _arguments(about: str) -> bytes:
    """Return a request with a valid value for each input field of a schema."""
    try:
        fields = json.loads(about)["schema"]["inputFields"]
        arguments = {field["id"]: _value(field) for field in fields}
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidError(f"invalid schema: expected inputFields with id and dataType ({error!r})") from error
    return json.dumps({"id": "example", "arguments": arguments}).encode()


def _value(field: Mapping[str, Any]) -> Any:
    """Return the first value that the field allows, or the lower bound of its interval."""
    allowed = str(next(iter(field.get("values") or ()), ""))
    if allowed[:1] in ("[", "("):
        low, _, high = allowed[1:-1].partition(",")
        allowed = str((float(low) + float(high)) / 2) if low and high else ""
    if field["dataType"] in ("double", "float"):
        return float(allowed or 0)
    if field["dataType"] == "integer":
        return int(float(allowed or 0))
    return allowed
