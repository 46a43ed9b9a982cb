"""The exceptions of the original SDK. The text of each ends with what the command wrote to standard error."""

from __future__ import annotations

__all__ = [
    "ORMBError",
    "ORMBExportError",
    "ORMBLoginError",
    "ORMBPullError",
    "ORMBPushError",
    "ORMBRemoveError",
    "ORMBSaveError",
]


class ORMBError(Exception):
    """Base of all. `stderr` is the error message of the command."""

    def __init__(self, action: str, stderr: str) -> None:
        super().__init__(f"{action} failed with stderr:\n{stderr}")
        self.stderr = stderr


class ORMBLoginError(ORMBError):
    """The registry is not reachable, or it rejected the user name or password."""


class ORMBSaveError(ORMBError):
    """The directory is not a valid model."""


class ORMBPushError(ORMBError):
    """The model is not in the cache, or the registry did not accept it."""


class ORMBPullError(ORMBError):
    """The registry does not have the model, or it is not reachable."""


class ORMBExportError(ORMBError):
    """The model is not in the cache, or the directory is not writable."""


class ORMBRemoveError(ORMBError):
    """The model is not in the cache."""
