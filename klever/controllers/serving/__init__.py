"""Serving: pins models, has their replicas run, moves the traffic, reports the state."""

from klever.controllers.serving.reconciler import ServingReconciler

__all__ = ["ServingReconciler"]
