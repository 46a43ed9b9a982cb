"""`klever wait KIND NAME --for=condition=TYPE`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from klever.cli.commands.client import Api, connect
from klever.cli.commands.flags import add_server, add_wait
from klever.cli.commands.output import seconds
from klever.cli.commands.resources import Resources
from klever.cli.commands.stored import StoredKind
from klever.cli.progress import status_line
from klever.errors import DeadlineError, FailedPreconditionError, InvalidError, NotFoundError
from klever.v1alpha1.common_pb2 import WatchEvent
from klever.v1alpha1.serving_pb2 import Serving

EXAMPLES = """  klever wait serving digits --for=condition=Ready --timeout 60s
  klever wait modeljob extract-digits-v1 --for=condition=Complete
  klever wait serving digits --for=delete"""

_TROUBLE_IF_TRUE = frozenset(("Progressing", "SignaturePending"))
"""The conditions that report a problem while they are True. The others report one while they are False."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", metavar="KIND", help="serving or modeljob")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--for", dest="condition", required=True, metavar="condition=TYPE[=STATUS]|delete")
    add_wait(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    stored = Resources(args.kinds).stored(args.kind, "Watch", "waiting")
    api = connect(args)
    wait_for(api, stored, args.name, args.condition, seconds(args.timeout))
    print(f"{stored.singular} {args.name}: {args.condition} met")
    return 0


def wait_for(api: Api, kind: StoredKind, name: str, condition: str, timeout: float) -> Any:
    """Return the object once the condition holds; for `delete` its last state, None if it did not exist.

    Raises `NotFoundError` if it does not exist or is deleted meanwhile, `FailedPreconditionError` as soon as the
    condition can no longer hold, and `DeadlineError` with the object's last message at the timeout.
    """
    wanted, status = _parse(condition)
    what = f"{kind.singular} {name}"
    last = None
    with status_line(what) as show, suppress(DeadlineError):  # raised again below, with the object's last message
        for obj in _states(api, kind, name, time.monotonic() + timeout):
            if obj is None and wanted:
                where = f"-n {api.namespace}"
                raise NotFoundError(f"{what} not found: `klever get {kind.plural} {where}` lists the existing ones")
            if obj is None:
                return last
            last = obj
            show(_progress(obj))
            if wanted and _holds(obj, what, wanted, status):
                return obj
    raise DeadlineError(f"{what}: {condition} not met within {timeout:g} s; {_why(last)}")


def _states(api: Api, kind: StoredKind, name: str, deadline: float) -> Iterator[Any]:
    """Yield the object now and after each change, and None last if it does not exist.

    Raises `DeadlineError` at the deadline (of the monotonic clock).
    """
    while True:
        obj, version = kind.look(api, api.namespace, name)
        yield obj
        if obj is None:
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise DeadlineError(f"{name}: the timeout has passed")
        for event in kind.watch(api, api.namespace, name, "", resource_version=version, timeout=left):
            if event.type == WatchEvent.ERROR:
                break  # the version is too old: read the object again
            yield None if event.type == WatchEvent.DELETED else event.object


def _parse(condition: str) -> tuple[str, str]:
    if condition == "delete":
        return "", ""
    prefix, _, rest = condition.partition("=")
    kind, _, status = rest.partition("=")
    if prefix != "condition" or not kind:
        raise InvalidError(f"--for must be condition=TYPE[=STATUS] or delete, not {condition!r}")
    return kind, status or "True"


def _holds(obj: Any, what: str, wanted: str, status: str) -> bool:
    """Whether a condition holds for the object's current spec.

    A Serving is Ready while its previous predictors answer. Here it must also have rolled out its spec.
    """
    current = {c.type: c for c in obj.status.conditions if c.observed_generation == obj.metadata.generation}
    if status == "True" and (failure := _final_failure(current, wanted)):
        raise FailedPreconditionError(f"{what} failed: {failure}; run `klever describe {what}` for details")
    rolling = wanted == "Ready" and status == "True" and _is(current, "Progressing", "True")
    return _is(current, wanted, status) and not rolling


def _is(conditions: dict[str, Any], name: str, status: str) -> bool:
    return name in conditions and bool(conditions[name].status == status)


def _final_failure(current: dict[str, Any], wanted: str) -> str:
    """Return why the condition cannot hold for this generation; empty if it can."""
    if wanted == "Complete" and "Failed" in current and current["Failed"].status == "True":
        return str(current["Failed"].message or current["Failed"].reason)
    if wanted == "Failed" and _is(current, "Complete", "True"):
        return "it succeeded"
    if wanted == "Ready" and _is(current, "Progressing", "False") and current["Progressing"].reason != "Complete":
        return str(current["Progressing"].message or current["Progressing"].reason)
    return ""


def _progress(obj: Any) -> str:
    """Return the progress: `Deploying 0/1: main: the model is being unpacked`."""
    status = obj.status
    message = getattr(status, "message", "") or next(iter(_troubles(obj, "Ready", "Progressing")), "")
    count = f" {status.ready_replicas}/{status.replicas}" if isinstance(obj, Serving) else ""
    state = f"{status.phase or 'Pending'}{count}"
    return f"{state}: {message}" if message else state


def _why(obj: Any) -> str:
    if obj is None:
        return "its state is unknown, because the server did not answer: try again"
    return "; ".join(_troubles(obj)) or f"its phase is {obj.status.phase or 'unknown'}"


def _troubles(obj: Any, *types: str) -> list[str]:
    """Return the problems that the conditions, or those of some types, report. Each message comes once."""
    found: dict[str, str] = {}
    for condition in obj.status.conditions:
        is_trouble = condition.status == ("True" if condition.type in _TROUBLE_IF_TRUE else "False")
        if is_trouble and condition.message and condition.type in (types or (condition.type,)):
            found.setdefault(condition.message, condition.message if types else _told(condition))
    return list(found.values())


def _told(condition: Any) -> str:
    return f"{condition.type}={condition.status}: {condition.message}"
