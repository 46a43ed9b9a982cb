"""`klever login SERVER`."""

from __future__ import annotations

import argparse
import getpass
import os
import sys

from klever.cli.commands.flags import add_transport
from klever.client.config import Server, config_path, update_config
from klever.client.settings import Settings
from klever.errors import InvalidError
from klever.oci.client import RegistryClient

EXAMPLES = """  klever login https://klever.example.com:8080 < token
  klever login 10.0.0.5:8080 --ca-file cert.pem      (asks for the token)
  klever login http://10.0.0.5:8080 --plaintext < token"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Read the token of a server from standard input, save it, and make the server the current one. The token is "
        "sent to this server only."
    )
    parser.add_argument("server", metavar="SERVER", help="HOST:PORT or URL of the platform; https beyond loopback")
    add_transport(parser)


def run(args: argparse.Namespace) -> int:
    token = _token()
    settings = Settings.load(
        os.environ, plaintext=args.plaintext, server=args.server, token=token, ca_file=args.ca_file
    )
    with RegistryClient(settings.endpoint) as client:
        client.check()  # unlike reads of the API, it always rejects a wrong token
    kept = Server(token, str(settings.ca or ""), settings.plaintext and settings.url.startswith("http://"))
    update_config(config_path(os.environ), lambda config: config.with_current(settings.url, kept))
    print(f"logged in to {settings.url}")
    return 0


def _token() -> str:
    """Read the token. Raises `InvalidError` for an empty one."""
    try:
        given = getpass.getpass("Token: ") if sys.stdin.isatty() else sys.stdin.readline()
    except EOFError:  # Ctrl-D
        print(file=sys.stderr)
        given = ""
    if not given.strip():
        raise InvalidError("missing token: give it on standard input; it is in the file `token` of the data directory")
    return given.strip()
