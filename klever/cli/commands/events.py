"""`klever events [KIND NAME]`."""

from __future__ import annotations

import argparse
from typing import Any

from klever.api.codec import to_object
from klever.cli.commands.client import Api, connect
from klever.cli.commands.flags import add_output, add_server
from klever.cli.commands.output import age, print_objects, print_table
from klever.cli.commands.resources import Resources
from klever.cli.commands.stored import StoredKind

EXAMPLES = """  klever events
  klever events serving digits
  klever events -A -o json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", metavar="KIND", nargs="?", default="", help="modeljob or serving")
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="one object")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="list the events of all projects")
    add_output(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    api = connect(args)
    namespace = "-" if args.all_namespaces else api.namespace
    kinds = _kinds(args.kind, Resources(args.kinds))
    found = {kind.plural: list_events(api, kind, namespace, args.name) for kind in kinds}
    if args.output != "table":
        print_objects([to_object(e) for events in found.values() for e in events], args.output, single=False)
        return 0
    for plural, events in found.items():
        if not args.kind:
            print(f"{plural}:")
        print_events(events, wide=args.all_namespaces)
    return 0


def _kinds(kind: str, resources: Resources) -> list[StoredKind]:
    """Return the named kind, or all kinds that have events."""
    if kind:
        return [resources.stored(kind, "ListEvents", "events")]
    return resources.supporting("ListEvents")


def list_events(api: Api, kind: StoredKind, namespace: str, name: str) -> list[Any]:
    """Return the events of one object, or of all objects of the kind, oldest first."""
    return list(kind.objects(api).events(name, namespace=namespace))


def print_events(events: list[Any], *, wide: bool = False) -> None:
    """Print a table. A wide one has the namespaces."""
    if not events:
        print("none")
        return
    rows = [
        (
            *((e.involved_object.namespace,) if wide else ()),
            age(to_object(e).get("lastTimestamp", "")),
            e.type,
            e.reason,
            e.involved_object.name,
            e.count,
            e.message,
        )
        for e in events
    ]
    print_table((*(("NAMESPACE",) if wide else ()), "AGE", "TYPE", "REASON", "OBJECT", "COUNT", "MESSAGE"), rows)
