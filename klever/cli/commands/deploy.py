"""`klever deploy REF --name NAME`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from klever.api.codec import from_object, to_object
from klever.api.kinds import SERVING
from klever.artifacts.metadata import SOURCE_LABEL
from klever.cli.commands.client import Api, connect
from klever.cli.commands.flags import add_server, add_wait
from klever.cli.commands.output import seconds
from klever.cli.commands.stored import SERVINGS, refuse_deleting
from klever.cli.commands.versions import get_version
from klever.cli.commands.wait import wait_for
from klever.cli.terminal import escaped
from klever.errors import InvalidError, KleverError
from klever.oci.reference import Reference
from klever.traffic.shares import read_shares
from klever.v1alpha1.serving_pb2 import Serving
from klever.v1alpha1.serving_service_pb2 import ApplyServingRequest

EXAMPLES = """  klever deploy team/digits:v1 --name digits --wait
  klever deploy team/digits:v2 --name digits --canary 20"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REF", help="the model, e.g. team/digits:v1")
    parser.add_argument("--name", required=True, help="name of the Serving, and of the model in its URL")
    parser.add_argument("--runtime", default="", help="runtime; by default the one for the model's format")
    parser.add_argument("--replicas", type=int, default=1, help="number of processes")
    parser.add_argument("--canary", type=int, metavar="PERCENT", help="serve beside what runs, with this share")
    parser.add_argument("--wait", action="store_true", help="return when it is Ready")
    add_wait(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    api = connect(args)
    Reference.parse(args.reference)
    predictor = {"name": "main", "model": args.reference, "replicas": args.replicas}
    if args.runtime:
        predictor["runtime"] = args.runtime
    predictors = [predictor]
    if args.canary is not None:
        canary = {**predictor, "name": "canary", "traffic": args.canary}
        predictors = [*_beside_canary(api, args.name, 100 - args.canary), canary]
    obj = {
        "apiVersion": SERVING.api_version,
        "kind": SERVING.kind,
        "metadata": {"name": args.name, "namespace": api.namespace},
        "spec": {"predictors": predictors},
    }
    request = ApplyServingRequest(namespace=api.namespace, name=args.name, serving=from_object(obj, Serving))
    serving = api.call(api.servings.ApplyServing, request)
    refuse_deleting(f"serving {args.name}", serving)
    print(f"serving {args.name} applied")
    if args.wait:
        serving = wait_for(api, SERVINGS, args.name, "condition=Ready", seconds(args.timeout))
        print(f"serving {args.name} is Ready: {serving.status.url}/v2/models/{args.name}")
    _tell_if_moved(api, serving, args.reference)
    return 0


def _sources(api: Api, reference: Reference, pins: set[str]) -> set[str]:
    """Return the digests of the versions that pinned ones were converted from."""
    versions = (get_version(api, "", f"{reference.repository}@{pin}") for pin in pins)
    return {version.labels[SOURCE_LABEL] for version in versions if SOURCE_LABEL in version.labels}


def _tell_if_moved(api: Api, serving: Any, text: str) -> None:
    """Say that what runs is not what the tag names now: to apply what is there already pins nothing anew."""
    reference = Reference.parse(text)
    pins = {s.digest for s in serving.status.predictors if s.model == text and s.digest}
    if (
        reference.host
        or reference.digest
        or serving.status.observed_generation != serving.metadata.generation
        or not pins
    ):
        return
    try:
        digest = get_version(api, "", text).digest
    except KleverError:
        return  # the tag may be gone, or its registry silent: what was asked for is done all the same
    if digest not in pins and digest not in _sources(api, reference, pins):
        print(
            escaped(
                f"warning: {text} now names another version, {digest}; the Serving keeps the version that it pinned: "
                f"to serve the new version, deploy {reference.repository}@{digest} or another tag"
            ),
            file=sys.stderr,
        )


def _beside_canary(api: Api, name: str, share: int) -> list[dict[str, Any]]:
    """Return what goes on beside a canary: main with its new share, and what takes requests by their headers."""
    serving = SERVINGS.get(api, api.namespace, name)
    others = [dict(p) for p in to_object(serving.spec)["predictors"] if p["name"] != "canary"]
    known = read_shares(others).keys()
    if "main" not in known:
        raise InvalidError(f"serving {name} has no predictor main for a canary to stand beside: use klever apply")
    if len(known) > 1:
        more = ", ".join(sorted(known - {"main"}))
        raise InvalidError(
            f"serving {name} divides its requests among more than main and a canary, namely {more}: use klever apply"
        )
    return [{**p, "traffic": share} if p["name"] == "main" else p for p in others]
