"""The flags of the verbs that use the network, and the client of the registry at a host."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

from klever.cli.ormb import context
from klever.client.settings import trusted
from klever.oci.client import RegistryClient
from klever.oci.registries import Credentials, Endpoint, Registries
from klever.oci.table import read_table

__all__ = ["add_flags", "connect"]


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plain-http",
        action="store_true",
        help="use http instead of https, also for credentials (loopback hosts always use http)",
    )
    parser.add_argument("--ca-file", metavar="FILE", help="certificates to trust instead of the system's, in PEM")
    parser.add_argument("--insecure", action="store_true", help="accept any certificate")


def connect(
    host: str, args: argparse.Namespace, credentials: Credentials | None = None, scheme: str = ""
) -> RegistryClient:
    """Return a client of the registry at `host`, empty for the platform's.

    `credentials` replace the saved ones, `scheme` the default one. `args` has the flags. Raises
    `FailedPreconditionError` if credentials would be sent in plain text.
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
    """Return the registry from the table, or the known platform, or the registry at the host itself."""
    table = read_table(context.root(os.environ) / "registries.yaml")
    registries = Registries.parse(table, platform=context.platform_endpoint(os.environ))
    if host in registries.entries:
        return registries.resolve_host(host)
    return (context.known_endpoint(os.environ, host) if host else None) or registries.resolve_host(host)
