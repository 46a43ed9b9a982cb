"""`klever get KIND [NAME]`."""

from __future__ import annotations

import argparse
from typing import Any

from klever.cli.commands.client import Api, connect
from klever.cli.commands.flags import add_output, add_server
from klever.cli.commands.output import print_objects, print_table
from klever.cli.commands.resource import Resource
from klever.cli.commands.resources import Resources
from klever.cli.commands.stored import StoredKind
from klever.v1alpha1.common_pb2 import WatchEvent

EXAMPLES = """  klever get servings
  klever get modeljobs -w
  klever get versions team/digits -o json
  klever get models -n team
  klever get versions -o wide             (with their trust class: data or code)
  klever get servings -A -l stage=prod"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", metavar="KIND", help="models, versions, modeljobs, servings or projects")
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="one object")
    parser.add_argument("-w", "--watch", action="store_true", help="then print every change")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="list the objects of all projects")
    parser.add_argument("-l", "--selector", default="", help="labels, e.g. team=vision,stage!=dev")
    add_output(parser, "wide")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    resources = Resources(args.kinds)
    resource = resources.find(args.kind)
    if args.selector:
        resources.stored(args.kind, "List", "label selectors")
    api = connect(args)
    here = api.namespace if resource.namespaced else args.namespace or ""
    namespace = "-" if args.all_namespaces else here
    if args.watch:
        _watch(args, api, resource, resources.stored(args.kind, "Watch", "watches"), namespace)
        return 0
    as_object = args.output in ("json", "yaml")
    listed = resource.list_full if as_object and resource.list_full else resource.list
    items = list(listed(api, namespace, args.name, args.selector))
    if as_object:
        print_objects([resource.to_json(i) for i in items], args.output, single=resource.one(args.name))
    elif items:
        print_table(*_table(resource, items, namespaces=args.all_namespaces, wide=args.output == "wide"))
    else:
        print(f"no {resource.names[0]}" + (f" in {api.namespace}" if resource.namespaced and namespace != "-" else ""))
    return 0


def _table(
    resource: Resource, items: list[Any], *, namespaces: bool, wide: bool
) -> tuple[list[str], list[list[object]]]:
    header, rows = list(resource.header), [list(resource.row(i)) for i in items]
    if wide:
        header += resource.wide
        rows = [[*row, *(column(i) for column in resource.wide.values())] for row, i in zip(rows, items, strict=True)]
    if namespaces and resource.namespaced:
        return ["NAMESPACE", *header], [[i.metadata.namespace, *row] for row, i in zip(rows, items, strict=True)]
    return header, rows


def _watch(args: argparse.Namespace, api: Api, resource: Resource, stored: StoredKind, namespace: str) -> None:
    for event in stored.watch(api, namespace, args.name, args.selector):
        if args.output == "yaml":
            print("---")
        if args.output in ("json", "yaml"):
            print_objects([resource.to_json(event.object)], args.output, single=True)
        else:
            print(
                "   ".join(
                    [
                        WatchEvent.Type.Name(event.type),
                        *(str(c) if c not in ("", None) else "-" for c in resource.row(event.object)),
                    ]
                )
            )
