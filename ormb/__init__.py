"""Models as OCI artifacts, with the functions, results and exceptions of the original project's Python SDK.

    import ormb

    ormb.save("./digits", "harbor.example.com/vision/digits:v1")
    ormb.push("harbor.example.com/vision/digits:v1")

Each function returns the `subprocess.CompletedProcess` of the command `ormb`.
"""

from klever import __version__
from ormb.api import export, login, pull, push, remove, save
from ormb.errors import (
    ORMBError,
    ORMBExportError,
    ORMBLoginError,
    ORMBPullError,
    ORMBPushError,
    ORMBRemoveError,
    ORMBSaveError,
)

__all__ = [
    "ORMBError",
    "ORMBExportError",
    "ORMBLoginError",
    "ORMBPullError",
    "ORMBPushError",
    "ORMBRemoveError",
    "ORMBSaveError",
    "__version__",
    "export",
    "login",
    "pull",
    "push",
    "remove",
    "save",
]
