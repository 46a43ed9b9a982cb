"""A real registry in process, and an author who pushes to it by HTTP."""

from tests.unit.server.conftest import author, awake, endpoint, pushes, registries, registry

__all__ = ["author", "awake", "endpoint", "pushes", "registries", "registry"]
