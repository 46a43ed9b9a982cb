"""The cache, the credentials file and the platform's registry, which the verbs share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from klever.cli.ormb.credentials import CredentialsFile
from klever.client.addresses import Address
from klever.client.config import Config, config_path
from klever.client.settings import Settings
from klever.oci.layout import Layout
from klever.oci.registries import Endpoint

__all__ = ["credentials_file", "known_endpoint", "layout", "named_host", "platform_endpoint", "root"]


def layout() -> Layout:
    """Return the cache."""
    return Layout(root(os.environ) / "cache")


def credentials_file() -> CredentialsFile:
    return CredentialsFile(root(os.environ) / "config.json")


def platform_endpoint(environ: Mapping[str, str]) -> Endpoint:
    """Return the registry of the platform that KLEVER_SERVER or the configuration file names."""
    return Settings.load(environ).endpoint


def named_host(named: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the scheme (empty if absent) and HOST[:PORT] of a registry that a user names by host or URL.

    An empty name means the platform's registry. Raises `InvalidError` for an invalid name.
    """
    if "://" not in named:
        return "", named or platform_endpoint(environ).host
    Address.parse(named)
    scheme, _, host = named.partition("://")
    return scheme.lower(), host.rstrip("/")


def known_endpoint(environ: Mapping[str, str], host: str) -> Endpoint | None:
    """Return the registry of the platform at `host`, with its saved token; None if no platform is known there.

    KLEVER_TOKEN and KLEVER_CA_FILE apply only to the platform of KLEVER_SERVER or the file.
    """
    config = Config.read(config_path(environ))
    platform = Settings.load(environ, config)
    url = config.resolve_url(host)
    if url == platform.url:
        return replace(platform.endpoint, name=host)
    if url not in config.servers:
        return None
    return replace(Settings.load({}, config, server=host).endpoint, name=host)


def root(environ: Mapping[str, str]) -> Path:
    """Return ~/.ormb, or the directory in ROOTPATH, under either of the original's two names."""
    given = environ.get("ROOTPATH") or environ.get("rootPath")
    return Path(given) if given else Path(environ.get("HOME") or Path.home()) / ".ormb"
