"""The credentials of one user, renewed before they expire and after the server rejects them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from klever.kube.config import Credentials, KubeConfig

__all__ = ["CredentialSource"]

_EARLY_SECONDS = 10.0


class CredentialSource:
    """Caches credentials. `clock` returns the Unix time."""

    def __init__(self, config: KubeConfig, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._clock = clock
        self._lock = asyncio.Lock()
        self._known: Credentials | None = None

    async def get(self) -> Credentials:
        """Return credentials that are valid now. Raises the errors of `KubeConfig.credentials`."""
        async with self._lock:
            now = self._clock()
            if self._known is None or now > self._known.expires - _EARLY_SECONDS:
                self._known = await asyncio.to_thread(self._config.credentials, now)
            return self._known

    def refused(self, credentials: Credentials) -> bool:
        """Forget credentials that the server rejected. Return whether there may be others."""
        if self._known is credentials:
            self._known = None
        return self._config.renewable
