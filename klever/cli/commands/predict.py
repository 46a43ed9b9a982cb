"""`klever predict NAME --input FILE.json`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from klever.cli.commands.client import connect
from klever.cli.commands.examples import Requests, requests_to
from klever.cli.commands.flags import add_server, add_wait
from klever.cli.commands.output import seconds
from klever.cli.terminal import escaped
from klever.client.endpoint import Endpoint
from klever.errors import InvalidError

EXAMPLES = """  klever predict digits --input request.json
  klever predict digits --example            (a request that the model accepts)
  echo '{"inputs": [...]}' | klever predict digits --input -"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the Serving")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--input", metavar="FILE.json", help="request body, in the protocol of its runtime; - for stdin"
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
    body = _example(requests, model.ask("GET", requests.about)) if args.example else _read(args.input)
    if args.show_request:
        print(escaped(body.decode()), file=sys.stderr)
    print(model.ask("POST", requests.infer, body))
    return 0


def _read(source: str) -> bytes:
    content = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    try:
        json.loads(content)
    except ValueError as error:
        raise InvalidError(f"{source} is not valid JSON: {error}") from error
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
