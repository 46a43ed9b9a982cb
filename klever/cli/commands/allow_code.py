"""`klever allow-code PROJECT`."""

from __future__ import annotations

import argparse

from google.protobuf.field_mask_pb2 import FieldMask

from klever.cli.commands.client import connect
from klever.cli.commands.flags import add_server
from klever.v1alpha1.model_service_pb2 import Project, UpdateProjectRequest

EXAMPLES = """  klever allow-code team           (its Servings may run commands, and models that contain code)
  klever allow-code team --deny    (stops Servings that run code)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("--deny", action="store_true", help="forbid it again, and stop Servings that run code")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    api = connect(args)
    request = UpdateProjectRequest(
        name=args.project,
        project=Project(allow_code=not args.deny),
        update_mask=FieldMask(paths=["allow_code"]),
    )
    api.call(api.models.UpdateProject, request)
    print(f"project {args.project} {'does not allow' if args.deny else 'allows'} code")
    return 0
