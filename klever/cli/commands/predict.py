"""`klever predict NAME --data JSON`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from klever.cli.commands.client import connect
from klever.cli.commands.examples import Requests, requests_to
from klever.cli.commands.flags import add_server, add_wait
from klever.cli.commands.output import seconds
from klever.cli.terminal import escaped
from klever.client.endpoint import Endpoint
from klever.errors import InvalidError

EXAMPLES = """  klever predict adder --data '{"X": [1, 2], "Y": [3, 4]}'
  klever predict digits --data @pixels.json    (values by the name of their input)
  klever predict digits --input request.json   (a whole request)
  klever predict digits --example            (a request that the model accepts)
  klever predict digits --example --header x-user:beta-1
  echo '{"inputs": [...]}' | klever predict digits --input -"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the Serving")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--input", metavar="FILE.json", help="request body, in the protocol of its runtime; - for stdin"
    )
    source.add_argument(
        "--data",
        metavar="JSON",
        help="an object with the value of each input by its name; @FILE reads a file, - standard input",
    )
    source.add_argument("--example", action="store_true", help="send a request that the model accepts")
    parser.add_argument("--show-request", action="store_true", help="print the request body to standard error")
    parser.add_argument("-H", "--header", action="append", default=[], metavar="NAME:VALUE", help="a request header")
    add_wait(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    headers, timeout = _headers(args.header), seconds(args.timeout)
    api = connect(args)
    model = Endpoint(api.settings, api.servings.get(args.name), headers, timeout)
    requests = requests_to(model.runtime, args.name)
    body = _body(args, model, requests)
    if args.show_request:
        print(escaped(body.decode()), file=sys.stderr)
    print(model.ask("POST", requests.infer, body))
    return 0


def _body(args: argparse.Namespace, model: Endpoint, requests: Requests) -> bytes:
    """Return the request. Input that is not valid is refused before the model is asked."""
    if args.input:
        return _read(args.input)
    if args.example:
        return _example(requests, model.ask("GET", requests.about))
    values = _values(args.data)
    return requests.encode(model.ask("GET", requests.about), values)


def _values(data: str) -> dict[str, Any]:
    """Return the values of `--data` by name. Raises `InvalidError`."""
    from_file = data == "-" or data.startswith("@")
    try:
        values = json.loads(_read(data.removeprefix("@")) if from_file else data)
    except ValueError as error:
        raise InvalidError(f"--data is not valid JSON: {error}; give a file as --data @FILE") from error
    if not isinstance(values, dict):
        raise InvalidError('--data must be an object with the value of each input, e.g. {"x": [1, 2]}')
    return values


def _read(source: str) -> bytes:
    content = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    try:
        json.loads(content)
    except ValueError as error:
        raise InvalidError(f"{'standard input' if source == '-' else source} is not valid JSON: {error}") from error
    return content


def _example(requests: Requests, about: str) -> bytes:
    """Return a request that the model accepts. Raises `InvalidError` if the model's description is not sufficient."""
    try:
        return requests.example(about)
    except InvalidError as error:
        raise InvalidError(f"cannot make an example: {error.message}; write a request and use --input") from error


def _headers(given: list[str]) -> dict[str, str]:
    headers = {}
    for header in given:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise InvalidError(f"invalid header {header!r}: expected NAME:VALUE")
        headers[name.strip()] = value.strip()
    return headers
