"""`klever deploy REF --name NAME`: changes what it names, and nothing else."""

from __future__ import annotations

import argparse
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from klever.api.codec import from_object, to_object
from klever.api.kinds import SERVING
from klever.artifacts.metadata import SOURCE_LABEL
from klever.cli.commands.changes import print_changes
from klever.cli.commands.client import Api, connect
from klever.cli.commands.flags import add_server, add_wait
from klever.cli.commands.output import seconds
from klever.cli.commands.stored import SERVINGS, refuse_deleting
from klever.cli.commands.versions import get_version, list_versions
from klever.cli.commands.wait import wait_for
from klever.cli.rollout import Wish, changed_predictors
from klever.errors import ConflictError, InvalidError, KleverError, NotFoundError
from klever.oci.reference import Reference
from klever.v1alpha1.serving_pb2 import Serving

EXAMPLES = """  klever deploy team/digits:v1 --name digits --wait
  klever deploy team/digits:v2 --name digits                 (replicas, shares and all else stay)
  klever deploy team/digits:v2 --name digits --canary 20     (then `klever promote digits`, or `klever abort digits`)
  klever deploy team/digits:v2 --name digits --reset         (nothing else stays)"""

_ATTEMPTS: Final = 20
"""How often a change is tried again that another write of the Serving overtook, such as one of its status."""
_SHOWN: Final = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REF", help="the model, e.g. team/digits:v1")
    parser.add_argument("--name", required=True, help="name of the Serving, and of the model in its URL")
    parser.add_argument("--predictor", default="", help="predictor to change; by default main, or the only one")
    parser.add_argument("--runtime", default="", help="runtime; by default the one for the model's format")
    parser.add_argument("--replicas", type=int, help="number of processes; 1 for a new predictor")
    parser.add_argument("--canary", type=int, metavar="PERCENT", help="serve beside what runs, with this share")
    parser.add_argument("--reset", action="store_true", help="replace the whole spec instead of changing it")
    parser.add_argument("--wait", action="store_true", help="return when it is Ready")
    add_wait(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    if args.canary is not None and (args.predictor or args.reset):
        raise InvalidError("--canary cannot be used with --predictor or --reset")
    api = connect(args)
    settings: dict[str, Any] = {"runtime": args.runtime} if args.runtime else {}
    settings |= {"replicas": args.replicas} if args.replicas is not None else {}
    wish = Wish(args.reference, _digest(api, args.reference), args.predictor, args.canary, settings)
    before, after = _declare(api, args.name, wish) if args.reset else _change(api, args.name, wish)
    print(f"serving {args.name} {'created' if before is None else 'configured' if before != after else 'unchanged'}")
    print_changes(before, after)
    if args.wait:
        serving = wait_for(api, SERVINGS, args.name, "condition=Ready", seconds(args.timeout))
        print(f"serving {args.name} is Ready: {serving.status.url}/v2/models/{args.name}")
    return 0


def _digest(api: Api, text: str) -> str:
    """Return the digest that the model has now; empty if that is not known, as for a model of another registry.

    Raises `NotFoundError` that lists the tags that exist.
    """
    reference = Reference.parse(text)
    if reference.host:
        return ""
    named = text if reference.tag or reference.digest else f"{text}:latest"
    try:
        return str(get_version(api, "", named).digest)
    except NotFoundError as error:
        raise NotFoundError(f"{named} not found: {_existing(api, reference)}", reason=error.reason) from error
    except KleverError:  # the status of the Serving says what is wrong with the model
        return ""


def _existing(api: Api, reference: Reference) -> str:
    try:
        tags = [v.tag for v in list_versions(api, "", reference.repository, "")]
    except NotFoundError:
        tags = []
    if not tags:
        return f"there is no model {reference.repository}; `klever get models` lists those that exist"
    more = f" and {len(tags) - _SHOWN} more" if len(tags) > _SHOWN else ""
    return f"the tags of {reference.repository} are {', '.join(tags[:_SHOWN])}{more}"


def _change(api: Api, name: str, wish: Wish) -> tuple[Any, Any]:
    """Change the Serving as it is now, or create it; returns it before (None if it is new) and after."""
    for _ in range(_ATTEMPTS):
        try:
            before = SERVINGS.get(api, api.namespace, name)
        except NotFoundError:
            return None, SERVINGS.call(api, "Create", namespace=api.namespace, serving=_serving(api, name, wish))
        refuse_deleting(f"serving {name}", before)
        if wish.digest in _sources(api, before, wish):
            wish = replace(wish, digest="")
        changed = to_object(before)
        changed["spec"]["predictors"] = changed_predictors(changed, wish)
        if changed == to_object(before):
            return before, before
        fields = {"namespace": api.namespace, "name": name, "update_mask": {"paths": ["spec.predictors"]}}
        try:
            return before, SERVINGS.call(api, "Update", serving=from_object(changed, Serving), **fields)
        except ConflictError:
            continue
    raise ConflictError(f"serving {name} is changed by others all the time: try again")


def _sources(api: Api, serving: Any, wish: Wish) -> set[str]:
    """Return the digests of the versions that the pins of the wished model were converted from."""
    pins = {p.digest for p in serving.status.predictors if p.model == wish.model and p.digest not in ("", wish.digest)}
    repository = Reference.parse(wish.model).repository
    found = set()
    for pin in pins if wish.digest else ():
        with suppress(KleverError):  # it is gone
            found.add(str(get_version(api, "", f"{repository}@{pin}").labels.get(SOURCE_LABEL, "")))
    return found


def _declare(api: Api, name: str, wish: Wish) -> tuple[Any, Any]:
    """Make the Serving exactly what is wished; returns it before (None if it is new) and after."""
    try:
        before = SERVINGS.get(api, api.namespace, name)
    except NotFoundError:
        before = None
    return before, SERVINGS.apply(api, _serving(api, name, wish), api.namespace)


def _serving(api: Api, name: str, wish: Wish) -> Serving:
    obj = {
        "apiVersion": SERVING.api_version,
        "kind": SERVING.kind,
        "metadata": {"name": name, "namespace": api.namespace},
        "spec": {"predictors": [wish.predictor()]},
    }
    return from_object(obj, Serving)
