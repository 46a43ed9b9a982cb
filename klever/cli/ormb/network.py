"""What verbs that go over the network share: their flags, and a client of the registry that a host means."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

from klever.cli.ormb import context
from klever.oci.client import RegistryClient
from klever.oci.registries import Credentials, Registries
from klever.oci.table import read_table

__all__ = ["add_flags", "connect"]


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plain-http", action="store_true", help="http instead of https (loopback hosts: always)")
    parser.add_argument("--insecure", action="store_true", help="take any certificate")


def connect(host: str, args: argparse.Namespace, credentials: Credentials | None = None) -> RegistryClient:
    """A client of the registry that goes by `host`, empty for the platform's.

    `credentials` instead of those on file; `args` carries the flags.
    """
    platform = context.platform_endpoint(os.environ)
    table = read_table(context.root(os.environ) / "registries.yaml")
    endpoint = Registries.parse(table, platform=platform).resolve_host(host)
    if args.plain_http:
        endpoint = replace(endpoint, url=f"http://{endpoint.host}")
    if endpoint.url == platform.url:
        endpoint = replace(endpoint, credentials=endpoint.credentials or platform.credentials)
    known = credentials or context.credentials_file().get(endpoint.name or endpoint.host) or endpoint.credentials
    return RegistryClient(replace(endpoint, credentials=known, insecure=endpoint.insecure or args.insecure))
