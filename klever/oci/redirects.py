"""Where a registry may send its clients."""

from __future__ import annotations

import ipaddress
from urllib.parse import urljoin, urlsplit

from klever.errors import UnavailableError
from klever.oci.registries import is_loopback

__all__ = ["follow", "without_query"]


def follow(url: str, location: str) -> str:
    """Return the URL of a Location header.

    Raises `UnavailableError` if it is missing, or leads from https to http, or from another machine to this one or
    its link-local addresses.
    """
    target = urljoin(url, location)
    old, new = urlsplit(url), urlsplit(target)
    inward = _is_inward(new.hostname or "") and not is_loopback(old.hostname or "")
    if not location or new.scheme not in {"https", old.scheme} or inward:
        raise UnavailableError(f"{without_query(url)}: refused to follow the redirect to {without_query(location)!r}")
    return target


def _is_inward(name: str) -> bool:
    """Return whether an address is of this machine or its link. Clouds serve the secrets of a machine on the link."""
    if is_loopback(name):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_link_local or address.is_unspecified


def without_query(url: str) -> str:
    """Return the URL without its query, which may contain a signature that is as secret as a password."""
    return url.partition("?")[0]
