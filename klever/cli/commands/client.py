"""The client of the server that the flags, environment and configuration name."""

from __future__ import annotations

import argparse

from klever.client.sync.client import Client as Api

__all__ = ["Api", "connect"]


def connect(args: argparse.Namespace) -> Api:
    """Return the client. Raises the errors of its constructor."""
    return Api(
        args.server or "",
        token=args.token or "",
        namespace=args.namespace or "",
        ca_file=args.ca_file or "",
        plaintext=args.plaintext,
    )
