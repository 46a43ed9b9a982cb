"""What verbs share: the cache, the credentials file, the platform's registry."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from klever.cli.addresses import Address
from klever.cli.config import Config, config_path
from klever.cli.ormb.credentials import CredentialsFile
from klever.cli.settings import Settings
from klever.oci.layout import Layout
from klever.oci.registries import Endpoint

__all__ = ["credentials_file", "known_endpoint", "layout", "named_host", "platform_endpoint", "root"]


def layout() -> Layout:
    """The cache."""
    return Layout(root(os.environ) / "cache")


def credentials_file() -> CredentialsFile:
    return CredentialsFile(root(os.environ) / "config.json")


def platform_endpoint(environ: Mapping[str, str]) -> Endpoint:
    """The registry of the platform that KLEVER_SERVER or the configuration file names."""
    return Settings.load(environ).endpoint


def named_host(named: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The scheme, empty where none is named, and HOST[:PORT] of a registry that a user names by its host or URL.

    An empty name is the platform's. Raises `InvalidError` if it is neither.
    """
    if "://" not in named:
        return "", named or platform_endpoint(environ).host
    Address.parse(named)
    scheme, _, host = named.partition("://")
    return scheme.lower(), host.rstrip("/")


def known_endpoint(environ: Mapping[str, str], host: str) -> Endpoint | None:
    """The registry of a platform that `host` names, with the token kept for it; None if none is known there.

    KLEVER_TOKEN and KLEVER_CA_FILE are for the platform of KLEVER_SERVER or the file, and for no other.
    """
    config = Config.read(config_path(environ))
    platform = Settings.load(environ, config)
    url = config.url_of(host)
    if url == platform.url:
        return replace(platform.endpoint, name=host)
    if url not in config.servers:
        return None
    return replace(Settings.load({}, config, server=host).endpoint, name=host)


def root(environ: Mapping[str, str]) -> Path:
    """~/.ormb, or what ROOTPATH says, under the two names that the original takes."""
    given = environ.get("ROOTPATH") or environ.get("rootPath")
    return Path(given) if given else Path(environ.get("HOME") or Path.home()) / ".ormb"
