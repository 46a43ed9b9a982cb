"""`klever predict NAME --input FILE.json`."""

from __future__ import annotations

import argparse
import http.client
import json
import ssl
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from klever.cli.commands.client import Api, connect
from klever.cli.commands.flags import add_server, add_wait
from klever.cli.commands.output import seconds
from klever.cli.commands.stored import SERVINGS
from klever.cli.terminal import escaped
from klever.errors import FailedPreconditionError, InvalidError, KleverError, NotFoundError, UnavailableError
from klever.limits import DEFAULTS
from klever.runtimes.openinference import example, infer_path, model_path, read_inputs

EXAMPLES = """  klever predict digits --input request.json
  klever predict digits --example            (zeros of the shapes that it says it takes)
  echo '{"inputs": [...]}' | klever predict digits --input -"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the Serving")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--input", metavar="FILE.json", help="request body (Open Inference Protocol); - for stdin")
    source.add_argument("--example", action="store_true", help="send zeros of the shapes that it says it takes")
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
    model = Model(api, serving, headers, timeout)
    body = _example(model.ask("GET", model_path(args.name))) if args.example else _read(args.input)
    if args.show_request:
        print(escaped(body.decode()), file=sys.stderr)
    print(model.ask("POST", infer_path(args.name), body))
    return 0


def _read(source: str) -> bytes:
    content = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    try:
        json.loads(content)
    except ValueError as error:
        raise InvalidError(f"{source} is not JSON: {error}") from error
    return content


def _example(metadata: str) -> bytes:
    """Return a request of zeros for a model of that metadata; raises `InvalidError` for one that has none."""
    try:
        return example(read_inputs(metadata), DEFAULTS)
    except InvalidError as error:
        raise InvalidError(f"no example can be made: {error.message}; write a request, and use --input") from error


def _headers(given: list[str]) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    for header in given:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise InvalidError(f"{header!r} is not NAME:VALUE")
        headers[name.strip()] = value.strip()
    return headers


class Model:
    """What a Serving serves, as its callers reach it."""

    def __init__(self, api: Api, serving: Any, headers: dict[str, str], timeout: float) -> None:
        self._url = urlsplit(serving.status.url)
        self._server = urlsplit(api.settings.url)
        token = {"Authorization": f"Bearer {api.settings.token}"} if api.settings.token else {}
        self._headers = token | headers
        self._ca = api.settings.ca
        self._timeout = timeout

    def ask(self, method: str, path: str, body: bytes | None = None) -> str:
        """Return the answer to a request below its URL; raises a `KleverError` for any but a good one."""
        connection = self._connection()
        try:
            connection.request(method, self._url.path + path, body, self._headers)
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        except ValueError as error:
            raise InvalidError(f"cannot be sent as it is: {error}") from error
        except (OSError, http.client.HTTPException) as error:
            raise _connection_error(self._server.netloc, error) from error
        finally:
            connection.close()
        if response.status >= 400:
            raise _error(response.status, text)
        return text

    def _connection(self) -> http.client.HTTPConnection:
        if self._server.scheme == "http":
            return http.client.HTTPConnection(self._server.netloc, timeout=self._timeout)
        trust = ssl.create_default_context(cafile=self._ca)
        return http.client.HTTPSConnection(self._server.netloc, timeout=self._timeout, context=trust)


def _connection_error(server: str, error: Exception) -> KleverError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return UnavailableError(f"{server}: the certificate is not trusted: {error.verify_message}", reason="TLS")
    return UnavailableError(f"no answer from {server}: {str(error) or type(error).__name__}")


def _error(status: int, text: str) -> KleverError:
    message = f"HTTP {status}: {text.strip()[:2000] or 'no more was said; `klever describe serving` may tell'}"
    if status == 404:
        return NotFoundError(message)
    return UnavailableError(message) if status in (502, 503, 504) else InvalidError(message)
