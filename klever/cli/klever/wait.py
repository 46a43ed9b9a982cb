"""`klever wait KIND NAME --for=condition=TYPE`."""

from __future__ import annotations

import argparse
from typing import Any

from klever.cli.klever.client import Api, connect
from klever.cli.klever.flags import add_server, add_wait
from klever.cli.klever.output import seconds
from klever.cli.klever.resources import Resource, find
from klever.errors import DeadlineError, FailedPreconditionError, InvalidError

EXAMPLES = """  klever wait serving digits --for=condition=Ready --timeout 60s
  klever wait modeljob extract-digits-v1 --for=condition=Complete
  klever wait serving digits --for=delete"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", metavar="KIND", help="serving or modeljob")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--for", dest="condition", required=True, metavar="condition=TYPE[=STATUS]|delete")
    add_wait(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    resource = find(args.kind)
    api = connect(args)
    wait_for(api, resource, args.name, args.condition, seconds(args.timeout))
    print(f"{resource.names[1]} {args.name}: {args.condition} met")
    return 0


def wait_for(api: Api, resource: Resource, name: str, condition: str, timeout: float) -> Any:
    """Return the object once the condition holds.

    Raises `DeadlineError` with its last message if it does not in time, `FailedPreconditionError` if a job that is
    waited to complete has failed.
    """
    if resource.watch is None:
        raise InvalidError(f"{resource.names[0]} cannot be waited for; modeljobs and servings can")
    wanted, status = _parse(condition)
    last = None
    try:
        for event in resource.watch(api, api.namespace, name, "", timeout):
            if event.type == "DELETED" and wanted == "":
                return event.object
            last = event.object
            if wanted and _holds(last, wanted, status):
                return last
    except DeadlineError:
        pass  # said below, with the object's last message
    raise DeadlineError(f"{resource.names[1]} {name}: {condition} not met within {timeout:g} s; {_why(last)}")


def _parse(condition: str) -> tuple[str, str]:
    if condition == "delete":
        return "", ""
    prefix, _, rest = condition.partition("=")
    kind, _, status = rest.partition("=")
    if prefix != "condition" or not kind:
        raise InvalidError(f"--for={condition!r} is neither condition=TYPE[=STATUS] nor delete")
    return kind, status or "True"


def _holds(obj: Any, wanted: str, status: str) -> bool:
    current = {c.type: c for c in obj.status.conditions if c.observed_generation == obj.metadata.generation}
    if wanted == "Complete" and status == "True" and "Failed" in current and current["Failed"].status == "True":
        raise FailedPreconditionError(f"modeljob {obj.metadata.name} failed: {current['Failed'].message}")
    return wanted in current and current[wanted].status == status


def _why(obj: Any) -> str:
    if obj is None:
        return "it was not seen"
    messages = [f"{c.type}={c.status}: {c.message}" for c in obj.status.conditions if c.status != "True" and c.message]
    return "; ".join(messages) or f"its phase is {obj.status.phase or 'unknown'}"
