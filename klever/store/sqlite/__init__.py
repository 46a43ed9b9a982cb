"""The embedded store: SQLite with Kubernetes' semantics."""

from klever.store.sqlite.backup import backup
from klever.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore", "backup"]
