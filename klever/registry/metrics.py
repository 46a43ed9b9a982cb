"""The registry's counters."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

__all__ = ["Metrics"]


class Metrics:
    """Requests, bytes and uploads, registered in `collectors`."""

    def __init__(self, collectors: CollectorRegistry) -> None:
        self.requests = Counter(
            "klever_registry_requests_total",
            "Requests answered by the registry, by method and status code.",
            ("method", "code"),
            registry=collectors,
        )
        transferred = Counter(
            "klever_registry_transferred_bytes_total",
            "Bytes of blobs and manifests that the registry received and sent.",
            ("direction",),
            registry=collectors,
        )
        self.received = transferred.labels("in")
        self.sent = transferred.labels("out")
        self.uploads = Gauge(
            "klever_registry_uploads_in_flight",
            "Blob uploads whose bytes are being received.",
            registry=collectors,
        )
        self.damaged = Gauge(
            "klever_registry_damaged_blobs",
            "Blobs quarantined since the start because their files did not match their digests.",
            registry=collectors,
        )
