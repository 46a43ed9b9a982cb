"""`ormb login [HOST]`."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Callable

from klever.cli.ormb import context, network
from klever.errors import InvalidError
from klever.oci.registries import Credentials

EXAMPLES = """\
  ormb login harbor.example.com -u robot --password-stdin < password.txt
  ormb login https://10.0.0.5:8080 --ca-file cert.pem -u me --password-stdin < token
  ormb login 127.0.0.1:8080 -u me -p "$KLEVER_TOKEN\""""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "host", metavar="HOST", nargs="?", default="", help="host or URL; by default the platform's registry"
    )
    parser.add_argument("-u", "--username", default="", help="by default, ask for it")
    parser.add_argument(
        "-p", "--password", default="", help="password or token; other users can see it, so prefer --password-stdin"
    )
    parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    network.add_flags(parser)


def run(args: argparse.Namespace) -> int:
    scheme, host = context.named_host(args.host, os.environ)
    credentials = Credentials(args.username or _ask(input, "Username: "), _password(args))
    with network.connect(host, args, credentials, scheme) as client:
        client.check()
    context.credentials_file().put(host, credentials)
    print("Login succeeded")
    return 0


def _password(args: argparse.Namespace) -> str:
    if args.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return args.password or _ask(getpass.getpass, "Password: ")


def _ask(prompt: Callable[[str], str], what: str) -> str:
    """Return the user's input. Raises `InvalidError` without a terminal."""
    try:
        answer = prompt(what) if sys.stdin.isatty() else ""
    except EOFError:  # Ctrl-D
        print(file=sys.stderr)
        answer = ""
    if not answer:
        raise InvalidError("missing user name or password: give -u and --password-stdin")
    return answer
