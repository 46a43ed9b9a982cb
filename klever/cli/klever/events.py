"""`klever events [KIND NAME]`."""

from __future__ import annotations

import argparse
from typing import Any

from klever.api.codec import to_object
from klever.cli.klever.client import Api, connect
from klever.cli.klever.flags import add_server
from klever.cli.klever.output import age, print_table
from klever.cli.klever.resources import find
from klever.errors import InvalidError
from klever.v1alpha1.common_pb2 import ListEventsRequest

EXAMPLES = """  klever events
  klever events serving digits"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", metavar="KIND", nargs="?", default="", help="modeljob or serving")
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="one object")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    api = connect(args)
    if not args.kind:
        for kind in ("modeljobs", "servings"):
            print(f"{kind}:")
            print_events(api, kind, "")
        return 0
    kind = find(args.kind).names[0]
    if kind not in ("modeljobs", "servings"):
        raise InvalidError(f"{kind} have no events; modeljobs and servings do")
    print_events(api, kind, args.name)
    return 0


def print_events(api: Api, kind: str, name: str) -> None:
    """Print what happened to one object, or to all of the kind."""
    method = api.jobs.ListEvents if kind == "modeljobs" else api.servings.ListEvents
    items: list[Any] = []
    token, first = "", True
    while token or first:
        page = api.call(method, ListEventsRequest(namespace=api.namespace, name=name, page_token=token))
        items += page.items
        token, first = page.next_page_token, False
    if not items:
        print("none")
        return
    rows = [
        (age(to_object(e)["lastTimestamp"]), e.type, e.reason, e.involved_object.name, e.count, e.message)
        for e in items
    ]
    print_table(("AGE", "TYPE", "REASON", "OBJECT", "COUNT", "MESSAGE"), rows)
