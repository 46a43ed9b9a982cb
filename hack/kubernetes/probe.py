"""Whether a cluster is there yet, asked without a process for each question."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

from hack.kubernetes.layout import ADMIN, Layout

__all__ = ["Probe"]

_SECONDS = 2.0


class Probe:
    """Asks as the administrator."""

    def __init__(self, layout: Layout) -> None:
        context = ssl.create_default_context(cafile=layout.pki / "ca.crt")
        context.load_cert_chain(layout.pki / f"{ADMIN}.crt", layout.pki / f"{ADMIN}.key")
        self._server = f"https://{layout.address}:{layout.ports['apiserver']}"
        direct = urllib.request.ProxyHandler({})
        self._opener = urllib.request.build_opener(direct, urllib.request.HTTPSHandler(context=context))

    def answers(self, url: str) -> bool:
        """Whether a path of the API server's, or another URL, is answered with success."""
        return self._ask(url) is not None

    def is_ready(self, path: str) -> bool:
        """Whether an object has the condition Ready."""
        answer = self._ask(path)
        found: dict[str, Any] = json.loads(answer) if answer else {}
        conditions = found.get("status", {}).get("conditions", [])
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

    def _ask(self, url: str) -> bytes | None:
        try:
            with self._opener.open(self._server + url if url.startswith("/") else url, timeout=_SECONDS) as response:
                return bytes(response.read())
        except OSError:  # refused, reset, too late, or an answer that is none (urllib's errors are OSErrors)
            return None
