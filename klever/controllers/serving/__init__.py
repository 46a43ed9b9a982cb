"""Serving: pins models, has their replicas run, moves the traffic, says what is the case."""

from klever.controllers.serving.reconciler import ServingReconciler

__all__ = ["ServingReconciler"]
