"""What verbs that go over the network share: their flags, and a client of the registry that a host means."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

from klever.cli.ormb import context
from klever.cli.settings import trusted
from klever.oci.client import RegistryClient
from klever.oci.registries import Credentials, Endpoint, Registries
from klever.oci.table import read_table

__all__ = ["add_flags", "connect"]


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plain-http", action="store_true", help="http instead of https, with credentials too (loopback hosts: always)"
    )
    parser.add_argument("--ca-file", metavar="FILE", help="certificates to trust instead of the system's, in PEM")
    parser.add_argument("--insecure", action="store_true", help="take any certificate")


def connect(
    host: str, args: argparse.Namespace, credentials: Credentials | None = None, scheme: str = ""
) -> RegistryClient:
    """A client of the registry that goes by `host`, empty for the platform's.

    `credentials` instead of those on file, `scheme` instead of the usual one; `args` carries the flags.
    Raises `FailedPreconditionError` if credentials would travel in plain text.
    """
    endpoint = _endpoint(host)
    if args.ca_file:
        endpoint = replace(endpoint, ca=trusted(args.ca_file))
    if args.ca_file or scheme:
        endpoint = replace(endpoint, url=f"{scheme or 'https'}://{endpoint.host}")
    if args.plain_http:
        endpoint = replace(endpoint, url=f"http://{endpoint.host}", plaintext=True)
    known = credentials or context.credentials_file().get(endpoint.name or endpoint.host) or endpoint.credentials
    return RegistryClient(replace(endpoint, credentials=known, insecure=endpoint.insecure or args.insecure))


def _endpoint(host: str) -> Endpoint:
    """The registry as the table says, or as it is known as a platform, or by its own name."""
    table = read_table(context.root(os.environ) / "registries.yaml")
    registries = Registries.parse(table, platform=context.platform_endpoint(os.environ))
    if host in registries.entries:
        return registries.resolve_host(host)
    return (context.known_endpoint(os.environ, host) if host else None) or registries.resolve_host(host)
