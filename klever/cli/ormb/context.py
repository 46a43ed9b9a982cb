"""What verbs share: the cache, the credentials file, the platform's registry."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from klever.cli.ormb.credentials import CredentialsFile
from klever.cli.settings import Settings
from klever.oci.layout import Layout
from klever.oci.registries import Credentials, Endpoint

__all__ = ["credentials_file", "layout", "platform_endpoint", "root"]


def layout() -> Layout:
    """The cache."""
    return Layout(root(os.environ) / "cache")


def credentials_file() -> CredentialsFile:
    return CredentialsFile(root(os.environ) / "config.json")


def platform_endpoint(environ: Mapping[str, str]) -> Endpoint:
    """The registry of the platform that KLEVER_SERVER or the settings file names."""
    settings = Settings.load(environ)
    return Endpoint("", settings.url, Credentials(token=settings.token) if settings.token else None)


def root(environ: Mapping[str, str]) -> Path:
    """~/.ormb, or what ROOTPATH says, under the two names that the original takes."""
    given = environ.get("ROOTPATH") or environ.get("rootPath")
    return Path(given) if given else Path(environ.get("HOME") or Path.home()) / ".ormb"
