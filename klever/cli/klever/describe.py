"""`klever describe KIND NAME`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from klever.cli.klever.client import Api, connect
from klever.cli.klever.events import print_events
from klever.cli.klever.flags import add_server
from klever.cli.klever.output import print_table
from klever.cli.klever.resources import find
from klever.v1alpha1 import serving_service_pb2

EXAMPLES = """  klever describe serving digits
  klever describe version team/digits:v1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", metavar="KIND", help="model, version, modeljob, serving or project")
    parser.add_argument("name", metavar="NAME")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    resource = find(args.kind)
    api = connect(args)
    item = next(resource.list(api, api.namespace, args.name, ""))
    _print_fields(resource.to_json(item), "")
    if resource.names[0] == "servings":
        _print_instances(api, args.name)
    if resource.watch is not None:
        print("\nEvents:")
        print_events(api, resource.names[0], args.name)
    return 0


def _print_fields(value: dict[str, Any], indent: str) -> None:
    for name, field in value.items():
        if isinstance(field, dict):
            print(f"{indent}{name}:")
            _print_fields(field, indent + "  ")
        elif isinstance(field, list) and field and isinstance(field[0], dict):
            print(f"{indent}{name}:")
            for item in field:
                print(f"{indent}- {item.get('name') or item.get('type') or ''}")
                _print_fields({k: v for k, v in item.items() if k not in ("name", "type")}, indent + "    ")
        else:
            print(f"{indent}{name}: {field if isinstance(field, str) else json.dumps(field)}")


def _print_instances(api: Api, name: str) -> None:
    request = serving_service_pb2.ListInstancesRequest(namespace=api.namespace, name=name)
    items = api.call(api.servings.ListInstances, request).items
    print("\nInstances:")
    if not items:
        print("none")
        return
    rows = [(i.name, i.predictor, i.phase, i.restarts, i.message.splitlines()[0] if i.message else "") for i in items]
    print_table(("NAME", "PREDICTOR", "PHASE", "RESTARTS", "MESSAGE"), rows)
