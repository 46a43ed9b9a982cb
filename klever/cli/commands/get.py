"""`klever get KIND [NAME …]`, `klever get KIND/NAME …`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from klever.cli.commands.client import Api, connect
from klever.cli.commands.flags import add_output, add_server
from klever.cli.commands.output import StreamedTable, print_objects, print_table, serializes
from klever.cli.commands.resource import Resource, Watch
from klever.cli.commands.resources import Resources
from klever.cli.commands.targets import Failures, Target, add_targets, read_targets
from klever.errors import InvalidError
from klever.v1alpha1.common_pb2 import WatchEvent

EXAMPLES = """  klever get servings
  klever get servings digits faces
  klever get serving/digits modeljob/extract-digits-v1 -o name
  klever get servings,modeljobs -n team
  klever get modeljobs -w
  klever get models -n team
  klever get versions team/digits -o wide    (whole digests, and the trust class: data or code)
  klever get servings -A -l stage=prod --show-labels
  klever get serving digits -o jsonpath='{.status.url}'
  klever get servings -o jsonpath='{range .items[*]}{.metadata.name}{"\\n"}{end}'"""

_EVENT = "EVENT   "
"""As wide as the longest type, so that a watch begins aligned."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_targets(parser, "models, versions, modeljobs, servings, projects")
    parser.add_argument("-w", "--watch", action="store_true", help="print the objects, then every change")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="list the objects of all projects")
    parser.add_argument("-l", "--selector", default="", help="labels, e.g. team=vision,stage!=dev")
    parser.add_argument("--show-labels", action="store_true", help="show a column with the labels")
    add_output(parser, "wide", "name")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    resources = Resources(args.kinds)
    targets = read_targets(args.targets, resources)
    _check(args, targets, resources)
    if args.watch:
        target = _watched(targets)
        _watch(args, connect(args), target, resources.watch(target.resource))
        return 0
    api = connect(args)
    failures = Failures()
    found = _found(args, api, targets, failures)
    if serializes(args.output):
        objects = [resource.to_json(item) for resource, items in found.items() for item in items]
        if objects or not failures:
            single = len(targets) == 1 and targets[0].resource.one(targets[0].name)
            print_objects(objects, args.output, single=single)
    else:
        _print(args, api, found, bool(failures))
    failures.end("some objects were not found")
    return 0


def _check(args: argparse.Namespace, targets: list[Target], resources: Resources) -> None:
    """Raise `InvalidError` for flags that do not fit the targets."""
    if args.all_namespaces and any(target.resource.one(target.name) for target in targets):
        raise InvalidError("-A lists the objects of all projects: give no names with it, or -n PROJECT")
    if args.selector and any(target.name for target in targets):
        raise InvalidError("-l selects objects by their labels: give no names with it")
    for resource, _ in targets:
        if args.selector:
            resources.stored(resource.names[0], "List", "label selectors")
        if args.show_labels:
            resources.check_labels(resource)


def _namespace(args: argparse.Namespace, api: Api) -> str:
    return "-" if args.all_namespaces else api.namespace


def _found(args: argparse.Namespace, api: Api, targets: list[Target], failures: Failures) -> dict[Resource, list[Any]]:
    """Return the objects of each kind."""
    found: dict[Resource, list[Any]] = {}
    for resource, name in targets:
        full = serializes(args.output) and resource.list_full
        with failures.kept():
            items = list((full or resource.list)(api, _namespace(args, api), name, args.selector))
            found.setdefault(resource, []).extend(items)
    return found


def _print(args: argparse.Namespace, api: Api, found: Mapping[Resource, list[Any]], failed: bool) -> None:
    several = len(found) > 1
    for index, (resource, items) in enumerate(found.items()):
        if args.output == "name":
            for item in items:
                print(_qualified(resource, item))
        elif items:
            if several and index:
                print()
            header, row = _columns(resource, args, qualified=several)
            print_table(header, map(row, items))
        elif not failed:
            where = f" in {api.namespace}: -A lists those of all projects" if _scoped(args, resource) else ""
            labels = f" with the labels {args.selector}" if args.selector else ""
            print(f"no {resource.names[0]}{labels}{where}")


def _scoped(args: argparse.Namespace, resource: Resource) -> bool:
    """Return whether the namespace limits a list."""
    return resource.scoped and not args.all_namespaces


def _qualified(resource: Resource, item: Any) -> str:
    return f"{resource.names[1]}/{resource.name_of(item)}"


def _columns(
    resource: Resource, args: argparse.Namespace, *, qualified: bool = False
) -> tuple[list[str], Callable[[Any], list[object]]]:
    """Return the header of a table, and a function for its rows. Qualified names include the kind."""
    cells = dict[str, Callable[[Any], object]]()
    if args.all_namespaces and resource.namespaced:
        cells["NAMESPACE"] = lambda item: item.metadata.namespace
    further = resource.wide if args.output == "wide" else {}
    tail = dict(further) | ({"LABELS": partial(_labels, resource)} if args.show_labels else {})
    extra = {name: cell for name, cell in tail.items() if name not in resource.header}

    def row(item: Any) -> list[object]:
        plain = list(resource.row(item))
        if qualified:
            plain[0] = _qualified(resource, item)
        shown = [
            further[name](item) if name in further else cell for name, cell in zip(resource.header, plain, strict=True)
        ]
        return [*(cell(item) for cell in cells.values()), *shown, *(cell(item) for cell in extra.values())]

    return [*cells, *resource.header, *extra], row


def _labels(resource: Resource, item: Any) -> str:
    labels = resource.labels(item) if resource.labels else {}
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def _watched(targets: list[Target]) -> Target:
    if len(targets) > 1:
        raise InvalidError("-w watches one object, or all objects of one kind")
    return targets[0]


def _watch(args: argparse.Namespace, api: Api, target: Target, watch: Watch) -> None:
    header, row = _columns(target.resource, args)
    table = StreamedTable([_EVENT, *header])
    for event in watch(api, _namespace(args, api), target.name, args.selector):
        if serializes(args.output):
            if args.output == "yaml":
                print("---")
            print_objects([target.resource.to_json(event.object)], args.output, single=True)
        elif args.output == "name":
            print(_qualified(target.resource, event.object), flush=True)
        else:
            table.print([WatchEvent.Type.Name(event.type), *row(event.object)])
