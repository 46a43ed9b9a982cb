"""`klever wait KIND/NAME --for=condition=TYPE`."""

from __future__ import annotations

import argparse
from typing import Any

from klever.cli.commands.client import Api, connect
from klever.cli.commands.flags import add_server, add_wait
from klever.cli.commands.output import seconds
from klever.cli.commands.resources import Resources
from klever.cli.commands.stored import StoredKind
from klever.cli.commands.targets import add_target, read_target
from klever.cli.progress import status_line
from klever.client.conditions import progress
from klever.errors import InvalidError

EXAMPLES = """  klever wait serving digits --for=condition=Ready --timeout 60s
  klever wait modeljob extract-digits-v1 --for=condition=Complete
  klever wait serving/digits --for=delete"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_target(parser, "serving or modeljob")
    parser.add_argument("--for", dest="condition", required=True, metavar="condition=TYPE[=STATUS]|delete")
    add_wait(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    kind, name = read_target(args)
    stored = Resources(args.kinds).stored(kind, "Watch", "waiting")
    wait_for(connect(args), stored, name, args.condition, seconds(args.timeout))
    print(f"{stored.singular} {name}: {args.condition} met")
    return 0


def wait_for(api: Api, kind: StoredKind, name: str, condition: str, timeout: float) -> Any:
    """Return the object once the condition holds; for `delete` its last state, None if it did not exist.

    Shows the progress. Raises the errors of `Objects.wait`.
    """
    wanted, status = _parse(condition)
    objects = kind.objects(api)
    with status_line(f"{kind.singular} {name}") as show:

        def tell(obj: Any) -> None:
            show(progress(obj))

        if not wanted:
            return objects.wait_deleted(name, timeout=timeout, on_change=tell)
        return objects.wait(name, wanted, status=status, timeout=timeout, on_change=tell)


def _parse(condition: str) -> tuple[str, str]:
    if condition == "delete":
        return "", ""
    prefix, _, rest = condition.partition("=")
    kind, _, status = rest.partition("=")
    if prefix != "condition" or not kind:
        raise InvalidError(f"--for must be condition=TYPE[=STATUS] or delete, not {condition!r}")
    return kind, status or "True"
