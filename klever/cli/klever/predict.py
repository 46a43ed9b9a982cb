"""`klever predict NAME --input FILE.json`."""

from __future__ import annotations

import argparse
import http.client
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from klever.cli.klever.client import Api, connect
from klever.cli.klever.flags import add_server, add_wait
from klever.cli.klever.output import seconds
from klever.cli.klever.stored import SERVINGS
from klever.cli.klever.versions import get_version
from klever.errors import FailedPreconditionError, InvalidError, KleverError, NotFoundError, UnavailableError
from klever.oci.reference import Reference

EXAMPLES = """  klever predict digits --input request.json
  klever predict digits --example            (zeros of the signature's shapes)
  echo '{"inputs": [...]}' | klever predict digits --input -"""

_ZEROS: dict[str, Any] = {"bool": False, "string": "", "object": ""}
_TYPES = {
    "bool": "BOOL", "float16": "FP16", "float32": "FP32", "float64": "FP64", "bfloat16": "BF16",
    "string": "BYTES", "object": "BYTES",
    **{f"{sign}int{bits}": f"{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the Serving")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--input", metavar="FILE.json", help="request body (Open Inference Protocol); - for stdin")
    source.add_argument("--example", action="store_true", help="send zeros of the signature's shapes")
    parser.add_argument("--show-request", action="store_true", help="print the request body to standard error")
    parser.add_argument("-H", "--header", action="append", default=[], metavar="NAME:VALUE", help="a request header")
    add_wait(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    headers, timeout = _headers(args.header), seconds(args.timeout)
    api = connect(args)
    serving = SERVINGS.get(api, api.namespace, args.name)
    if not serving.status.url:
        raise FailedPreconditionError(f"serving {args.name} has no URL yet: `klever describe serving {args.name}`")
    body = _example(api, serving) if args.example else _read(args.input)
    if args.show_request:
        print(body.decode(), file=sys.stderr)
    print(_post(api, serving, body, headers, timeout))
    return 0


def _read(source: str) -> bytes:
    content = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    try:
        json.loads(content)
    except ValueError as error:
        raise InvalidError(f"{source} is not JSON: {error}") from error
    return content


def _example(api: Api, serving: Any) -> bytes:
    status = next((p for p in serving.status.predictors if p.digest), None)
    if status is None:
        raise FailedPreconditionError(f"serving {serving.metadata.name} has no pinned model to take an example from")
    reference = Reference.parse(status.model)
    version = get_version(api, "", f"{reference.project}/{reference.model}@{status.digest}")
    return json.dumps({"inputs": [_zeros(t) for t in version.signature.inputs]}).encode()


def _zeros(tensor: Any) -> dict[str, Any]:
    if tensor.dtype not in _TYPES:
        raise InvalidError(f"input {tensor.name} has the type {tensor.dtype}: write a request, and use --input")
    if not tensor.has_size:
        raise InvalidError(f"input {tensor.name} has no known rank: write a request, and use --input")
    # Triton has no scalars: it takes one as a vector of one value.
    shape = [1 if d < 0 else d for d in tensor.size] or [1]
    count = 1
    for dimension in shape:
        count *= dimension
    zero = _ZEROS.get(tensor.dtype, 0)
    return {"name": tensor.name, "datatype": _TYPES[tensor.dtype], "shape": shape, "data": [zero] * count}


def _headers(given: list[str]) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    for header in given:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise InvalidError(f"{header!r} is not NAME:VALUE")
        headers[name.strip()] = value.strip()
    return headers


def _post(api: Api, serving: Any, body: bytes, headers: dict[str, str], timeout: float) -> str:
    url = urlsplit(f"{serving.status.url}/v2/models/{serving.metadata.name}/infer")
    server = urlsplit(api.settings.url)
    kind = http.client.HTTPSConnection if server.scheme == "https" else http.client.HTTPConnection
    connection = kind(server.netloc, timeout=timeout)
    if api.settings.token:
        headers = {"Authorization": f"Bearer {api.settings.token}", **headers}
    try:
        connection.request("POST", url.path, body, headers)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except ValueError as error:
        raise InvalidError(f"cannot be sent as it is: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(f"no answer from {server.netloc}: {str(error) or type(error).__name__}") from error
    finally:
        connection.close()
    if response.status >= 400:
        raise _error(response.status, text)
    return text


def _error(status: int, text: str) -> KleverError:
    message = f"HTTP {status}: {text.strip()[:2000] or 'no more was said; `klever describe serving` may tell'}"
    if status == 404:
        return NotFoundError(message)
    return UnavailableError(message) if status in (502, 503, 504) else InvalidError(message)
