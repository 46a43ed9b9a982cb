"""`klever delete KIND NAME`."""

from __future__ import annotations

import argparse
import time

from klever.cli.commands.client import connect
from klever.cli.commands.flags import add_server, add_wait
from klever.cli.commands.output import seconds
from klever.cli.commands.resources import Resources
from klever.cli.commands.wait import wait_for
from klever.errors import ConflictError, FailedPreconditionError, InvalidError, KleverError, NotFoundError

EXAMPLES = """  klever delete serving digits
  klever delete modeljob extract-digits-v1 --no-wait
  klever delete version team/digits:v1
  klever delete version team/digits:v1 --force    (although a Serving uses it)"""

_OF_ONE = (NotFoundError, FailedPreconditionError, ConflictError, InvalidError)
"""Errors that say nothing about the other objects."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", metavar="KIND", help="modeljob, serving or version")
    parser.add_argument("names", metavar="NAME", nargs="+")
    parser.add_argument("--no-wait", action="store_true", help="do not wait until its processes have ended")
    parser.add_argument("--force", action="store_true", help="delete a version although a Serving uses it")
    add_wait(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    resources = Resources(args.kinds)
    resource = resources.find(args.kind)
    if resource.delete is None:
        raise resources.unsupported(resource, "deletion", lambda other: other.delete is not None)
    deadline = time.monotonic() + seconds(args.timeout)
    api = connect(args)
    accepted, errors = [], list[KleverError]()
    for name in args.names:
        try:
            resource.delete(api, name, args.force)
        except _OF_ONE as error:
            errors.append(error)
        else:
            accepted.append(name)
    for name in accepted:
        if resource.stored is not None and not args.no_wait:
            wait_for(api, resource.stored, name, "delete", max(deadline - time.monotonic(), 0.0))
        print(f"{resource.names[1]} {name} deleted")
    if errors:
        raise ExceptionGroup("some objects were not deleted", errors)
    return 0
