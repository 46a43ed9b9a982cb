"""`klever describe KIND/NAME`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from klever.api.codec import to_object
from klever.cli.commands.client import Api, connect
from klever.cli.commands.events import list_events, print_events
from klever.cli.commands.flags import add_output, add_server
from klever.cli.commands.output import print_objects, print_table, serializes
from klever.cli.commands.resources import Resources
from klever.cli.commands.stored import SERVINGS
from klever.cli.commands.targets import add_target, read_target

EXAMPLES = """  klever describe serving digits
  klever describe serving/digits
  klever describe version team/digits:v1      (with its trust class: data or code)
  klever describe serving digits -o json      (the object with its instances and events)"""

_TITLES = ("name", "type", "path")
"""The fields that name an item of a list, best first."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_target(parser, "model, version, modeljob, serving or project")
    add_output(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    kind, name = read_target(args)
    resource = Resources(args.kinds).find(kind)
    api = connect(args)
    obj = resource.to_json(resource.get(api, api.namespace, name))
    instances = _instances(api, name) if resource.stored == SERVINGS else None
    told = resource.stored if resource.supports("ListEvents") else None
    events = list_events(api, told, api.namespace, name) if told else None
    if serializes(args.output):
        parts = {"instances": instances, "events": events}
        found = {name: [to_object(item) for item in items] for name, items in parts.items() if items is not None}
        print_objects([obj | found], args.output, single=True)
        return 0
    _print_fields(obj, "")
    if instances is not None:
        print("\nInstances:")
        _print_instances(instances)
    if events is not None:
        print("\nEvents:")
        print_events(events)
    return 0


def _print_fields(value: dict[str, Any], indent: str) -> None:
    for name, field in value.items():
        if field == {}:
            continue
        if isinstance(field, dict):
            print(f"{indent}{name}:")
            _print_fields(field, indent + "  ")
        elif isinstance(field, list) and field and isinstance(field[0], dict):
            print(f"{indent}{name}:")
            for item in field:
                title = next((key for key in _TITLES if item.get(key)), "")
                print(f"{indent}- {item.get(title, '')}")
                _print_fields({k: v for k, v in item.items() if k != title}, indent + "    ")
        else:
            print(f"{indent}{name}: {field if isinstance(field, str) else json.dumps(field)}")


def _instances(api: Api, name: str) -> list[Any]:
    return api.servings.instances(name)


def _print_instances(items: list[Any]) -> None:
    if not items:
        print("none")
        return
    rows = [(i.name, i.predictor, _phase(i), i.restarts, _sandbox(i), i.message.partition("\n")[0]) for i in items]
    print_table(("NAME", "PREDICTOR", "PHASE", "RESTARTS", "SANDBOX", "MESSAGE"), rows)
    for gap in sorted({gap for item in items for gap in item.sandbox_gaps}):
        print(f"not enforced by the sandbox: {gap}")


def _phase(instance: Any) -> str:
    """Return the phase as the objects write theirs: `BackOff`."""
    return str(type(instance).Phase.Name(instance.phase)).title().replace("_", "")


def _sandbox(instance: Any) -> str:
    name = type(instance).Sandbox.Name(instance.sandbox)
    return "" if name == "SANDBOX_UNSPECIFIED" else str(name).lower()
