"""`klever delete KIND NAME …`, `klever delete -f FILE` and `klever delete KIND --all`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import NamedTuple

from klever.cli.commands.client import Api, connect
from klever.cli.commands.documents import read_objects
from klever.cli.commands.flags import add_server, add_wait
from klever.cli.commands.output import seconds
from klever.cli.commands.resources import Resources
from klever.cli.commands.targets import Failures, Target, add_targets, read_targets
from klever.cli.commands.wait import wait_for
from klever.errors import InvalidError

EXAMPLES = """  klever delete serving digits
  klever delete serving/digits modeljob/extract-digits-v1 --no-wait
  klever delete -f serving.yaml
  klever delete modeljobs --all -n team
  klever delete version team/digits:v1 --force    (although a Serving uses it)"""


class _Doomed(NamedTuple):
    """An object to delete, and the connection for its namespace."""

    api: Api
    target: Target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_targets(parser, "modeljob, serving, version, model, project", required=False)
    parser.add_argument("-f", "--filename", metavar="FILE.yaml", help="delete the objects of a file; - for stdin")
    parser.add_argument("--all", action="store_true", help="delete all objects of the kind in the project, unasked")
    parser.add_argument("--no-wait", action="store_true", help="do not wait until its processes have ended")
    parser.add_argument("--force", action="store_true", help="delete a version although a Serving uses it")
    add_wait(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    resources = Resources(args.kinds)
    _check(args)
    deadline = time.monotonic() + seconds(args.timeout)
    doomed = list(_declared(args, resources) if args.filename else _named(args, resources))
    accepted, failures = [], Failures()
    for api, target in doomed:
        with failures.kept():
            _delete(api, target, force=args.force)
            accepted.append(_Doomed(api, target))
    for api, target in accepted:
        with failures.kept():
            _wait(api, target, None if args.no_wait else deadline)
    if not doomed:
        print(f"no {args.targets[0]} to delete")
    failures.end("some objects were not deleted")
    return 0


def _wait(api: Api, target: Target, deadline: float | None) -> None:
    """Report the deletion of an object, once it has ended unless the deadline (of the monotonic clock) is None."""
    stored = target.resource.stored
    if stored is not None and deadline is not None:
        wait_for(api, stored, target.name, "delete", max(deadline - time.monotonic(), 0.0))
    print(f"{target.label} {'is being deleted' if stored is not None and deadline is None else 'deleted'}")


def _check(args: argparse.Namespace) -> None:
    """Raise `InvalidError` unless the arguments name objects in one way."""
    if args.filename and (args.targets or args.all):
        raise InvalidError("-f names the objects: give neither a kind nor --all with it")
    if args.all and (len(args.targets) != 1 or "/" in args.targets[0]):
        raise InvalidError("--all needs one kind and no names, e.g. klever delete modeljobs --all")
    if not args.filename and not args.targets:
        raise InvalidError("name the objects: KIND NAME, KIND/NAME, KIND --all or -f FILE")


def _named(args: argparse.Namespace, resources: Resources) -> Iterator[_Doomed]:
    """Yield the named objects, or with `--all` those that exist. Raises `InvalidError` before the first one."""
    targets = read_targets(args.targets, resources)
    for resource, name in targets:
        if resource.delete is None:
            raise resources.unsupported(resource, "deletion", lambda other: other.delete is not None)
        if not name and not args.all:
            raise InvalidError(f"name the {resource.names[0]} to delete, or give --all for all of them")
        if args.all and not resource.scoped:
            raise InvalidError(f"--all does not delete {resource.names[0]}: name each one")
    api = connect(args)
    if not args.all:
        yield from (_Doomed(api, target) for target in targets)
        return
    resource = targets[0].resource
    for item in list(resource.list(api, api.namespace, "", "")):
        yield _Doomed(api, Target(resource, resource.name_of(item)))


def _declared(args: argparse.Namespace, resources: Resources) -> Iterator[_Doomed]:
    """Yield the objects of a file, each in its own namespace."""
    for declared in read_objects(args.filename, resources.supporting("Apply")):
        namespace = declared.message.metadata.namespace or args.namespace
        api = connect(argparse.Namespace(**(vars(args) | {"namespace": namespace})))
        yield _Doomed(api, Target(resources.find(declared.kind.plural), declared.message.metadata.name))


def _delete(api: Api, target: Target, *, force: bool) -> None:
    if target.resource.delete is not None:
        target.resource.delete(api, target.name, force)
