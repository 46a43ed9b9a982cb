"""`klever events [KIND/NAME]`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any, Final

from klever.api.codec import to_object
from klever.cli.commands.client import Api, connect
from klever.cli.commands.flags import add_output, add_server
from klever.cli.commands.output import StreamedTable, age, print_objects, print_table, serializes
from klever.cli.commands.resources import Resources
from klever.cli.commands.stored import StoredKind
from klever.cli.commands.targets import read_target

EXAMPLES = """  klever events
  klever events serving digits
  klever events serving/digits -w
  klever events -A -o json"""

_HEADER: Final = ("AGE", "TYPE", "REASON", "OBJECT", "COUNT", "MESSAGE")
_NAMESPACE: Final = ("NAMESPACE",)
_PERIOD_S: Final = 1.0
"""How often a watch lists the new events: the API has no watch of events."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", metavar="KIND[/NAME]", nargs="?", default="", help="modeljob or serving")
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="one object")
    parser.add_argument("-w", "--watch", action="store_true", help="then print every new event")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="list the events of all projects")
    add_output(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    kind, name = read_target(args) if "/" in args.kind else (args.kind, args.name)
    kinds = _kinds(kind, Resources(args.kinds))
    api = connect(args)
    namespace = "-" if args.all_namespaces else api.namespace
    if args.watch:
        _watch(args, _batches(api, kinds, namespace, name))
        return 0
    events = _listed(api, kinds, namespace, name)
    if serializes(args.output):
        print_objects([to_object(e) for e in events], args.output, single=False)
    else:
        print_events(events, namespaces=args.all_namespaces)
    return 0


def _kinds(kind: str, resources: Resources) -> list[StoredKind]:
    """Return the named kind, or all kinds that have events."""
    if kind:
        return [resources.stored(kind, "ListEvents", "events")]
    return resources.supporting("ListEvents")


def list_events(api: Api, kind: StoredKind, namespace: str, name: str, since: str = "") -> list[Any]:
    """Return the events of one object, or of all objects of the kind, oldest first."""
    chosen = f'last_timestamp >= "{since}"' if since else ""
    return list(kind.objects(api).events(name, namespace=namespace, filter=chosen))


def _listed(api: Api, kinds: list[StoredKind], namespace: str, name: str, since: str = "") -> list[Any]:
    """Return the events of several kinds, oldest first."""
    events = [event for kind in kinds for event in list_events(api, kind, namespace, name, since)]
    return sorted(events, key=lambda event: event.last_timestamp.ToNanoseconds())


def _batches(api: Api, kinds: list[StoredKind], namespace: str, name: str) -> Iterator[list[Any]]:
    """Yield the events that exist, then at intervals those that are new or have happened again."""
    since, seen = "", set[tuple[str, int]]()
    while True:
        events = _listed(api, kinds, namespace, name, since)
        yield [event for event in events if _key(event) not in seen]
        if events:
            since = events[-1].last_timestamp.ToJsonString()
            seen = {_key(event) for event in events}
        time.sleep(_PERIOD_S)


def _key(event: Any) -> tuple[str, int]:
    return event.metadata.uid, event.count


def _watch(args: argparse.Namespace, batches: Iterator[list[Any]]) -> None:
    table = StreamedTable(_header(args.all_namespaces))
    for batch in filter(None, batches):
        if not serializes(args.output):
            table.print(*(_row(event, args.all_namespaces) for event in batch))
            continue
        for event in batch:
            if args.output == "yaml":
                print("---")
            print_objects([to_object(event)], args.output, single=True)


def print_events(events: list[Any], *, namespaces: bool = False) -> None:
    """Print a table of events, also with their namespaces."""
    if not events:
        print("none")
        return
    print_table(_header(namespaces), [_row(event, namespaces) for event in events])


def _header(namespaces: bool) -> tuple[str, ...]:
    return (*_NAMESPACE, *_HEADER) if namespaces else _HEADER


def _row(event: Any, namespaces: bool) -> list[object]:
    about = event.involved_object
    row = (
        age(to_object(event).get("lastTimestamp", "")),
        event.type,
        event.reason,
        f"{about.kind.lower()}/{about.name}",
        event.count,
        event.message,
    )
    return [*([about.namespace] if namespaces else ()), *row]
