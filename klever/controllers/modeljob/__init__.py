"""ModelJob: runs its task once, and reports its progress and result."""

from klever.controllers.modeljob.decision import FINALIZER, MAX_LOSSES, Snapshot, decide
from klever.controllers.modeljob.reconciler import ModelJobReconciler

__all__ = ["FINALIZER", "MAX_LOSSES", "ModelJobReconciler", "Snapshot", "decide"]
