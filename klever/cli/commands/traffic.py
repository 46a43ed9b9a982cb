"""`klever traffic NAME PREDICTOR=PERCENT…`."""

from __future__ import annotations

import argparse

from klever.cli.commands.client import connect
from klever.cli.commands.flags import add_server
from klever.cli.commands.stored import refuse_deleting
from klever.errors import InvalidError
from klever.v1alpha1.serving_service_pb2 import SetTrafficRequest

EXAMPLES = """  klever traffic digits main=80 canary=20
  klever traffic digits --undo"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the Serving")
    parser.add_argument("shares", metavar="PREDICTOR=PERCENT", nargs="*", help="shares; the sum must be 100")
    parser.add_argument("--undo", action="store_true", help="return to the shares before the last change")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    if args.undo == bool(args.shares):
        raise InvalidError("give shares such as main=80 canary=20, or --undo")
    api = connect(args)
    request = SetTrafficRequest(namespace=api.namespace, name=args.name, traffic=_parse(args.shares), undo=args.undo)
    serving = api.call(api.servings.SetTraffic, request)
    refuse_deleting(f"serving {args.name}", serving)
    shares = " ".join(f"{p.name}={p.traffic}" for p in serving.spec.predictors if not p.HasField("match"))
    print(f"serving {args.name}: {shares}")
    return 0


def _parse(shares: list[str]) -> dict[str, int]:
    parsed: dict[str, int] = {}
    for share in shares:
        name, _, percent = share.partition("=")
        if not name or not percent.isdecimal() or len(percent) > 3:
            raise InvalidError(f"{share[:80]!r} is not PREDICTOR=PERCENT")
        if name in parsed:
            raise InvalidError(f"{name} is given a share twice")
        parsed[name] = int(percent)
    return parsed
