"""TLS of Envoy's listener. Envoy rereads a replaced certificate. Plain HTTP works on loopback only."""

from __future__ import annotations

from typing import Any, Final

from klever.routers.envoy.gateway import Tls

__all__ = ["CERTIFICATE_FILE", "certificate_secret", "tls_listener"]

CERTIFICATE_FILE: Final = "certificate.json"

_NAME: Final = "gateway"
_EVERYWHERE: Final = (("0.0.0.0", 0), ("::", 0))  # noqa: S104 - compared, not bound
_LOOPBACK: Final = (("127.0.0.0", 8), ("::1", 128))
_TLS: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_INSPECTOR: Final = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"


def tls_listener(filters: list[dict[str, Any]], secret: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a listener that terminates TLS before `filters`. `secret` is the source of `CERTIFICATE_FILE`.

    A connection that matches no chain, such as plain HTTP from beyond loopback, is closed.
    """
    inspector = {"name": "envoy.filters.listener.tls_inspector", "typed_config": {"@type": _INSPECTOR}}
    # Envoy chooses by destination first and does not backtrack, so both chains need loopback.
    encrypted = {**_chain("tls", (*_EVERYWHERE, *_LOOPBACK), filters), "transport_socket": _transport_socket(secret)}
    return {"listener_filters": [inspector], "filter_chains": [encrypted, _chain("raw_buffer", _LOOPBACK, filters)]}


def certificate_secret(tls: Tls) -> dict[str, Any]:
    """Return the listener's secret. Envoy reads the files again when a file is moved into their directory."""
    return {
        "@type": f"{_TLS}.Secret",
        "name": _NAME,
        "tls_certificate": {
            "certificate_chain": {"filename": str(tls.certificate)},
            "private_key": {"filename": str(tls.key)},
            "watched_directory": {"path": str(tls.certificate.parent)},
        },
    }


def _chain(protocol: str, networks: tuple[tuple[str, int], ...], filters: list[dict[str, Any]]) -> dict[str, Any]:
    ranges = [{"address_prefix": address, "prefix_len": length} for address, length in networks]
    return {
        "name": protocol,
        "filter_chain_match": {"transport_protocol": protocol, "prefix_ranges": ranges},
        "filters": filters,
    }


def _transport_socket(secret: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TLS}.DownstreamTlsContext",
            "common_tls_context": {
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificate_sds_secret_configs": [{"name": _NAME, "sds_config": secret}],
            },
        },
    }
