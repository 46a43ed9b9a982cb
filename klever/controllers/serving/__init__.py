"""The Serving controller: pins models, runs replicas, moves traffic and reports the status."""

from klever.controllers.serving.reconciler import ServingReconciler

__all__ = ["ServingReconciler"]
