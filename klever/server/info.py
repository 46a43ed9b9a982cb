"""The ServerInfo RPC."""

from __future__ import annotations

from collections.abc import Iterable

from klever.limits import Limits
from klever.v1alpha1 import server_service_pb2 as pb

__all__ = ["InfoHandlers"]

_API_VERSION = "v1alpha1"


class InfoHandlers:
    def __init__(self, version: str, features: Iterable[str], limits: Limits) -> None:
        self._info = pb.ServerInfo(
            version=version,
            api_version=_API_VERSION,
            features=sorted(features),
            limits=[
                pb.ServerLimit(name=row.name, value=row.value, unit=row.unit, description=row.bounds)
                for row in limits.rows()
            ],
        )

    async def get_server_info(self, _request: pb.GetServerInfoRequest) -> pb.ServerInfo:
        return self._info
