"""Gives the number of a Deployment's replicas from Klever to its autoscaler.

A field that no manager applies any more returns to its default, which is one replica. A manager of its own therefore
owns the number until the autoscaler changes it (kubernetes.io/docs/reference/using-api/server-side-apply, "Transferring
ownership between managers").
"""

from __future__ import annotations

from typing import Final

from klever.api.kinds import Object
from klever.backends import PredictorWorkload
from klever.backends.kubernetes.manifests import AUTOSCALED
from klever.backends.kubernetes.sizes import first_replicas, is_autoscaled
from klever.kube.client import KubeClient
from klever.kube.kinds import DEPLOYMENT

__all__ = ["hand_over"]

_MANAGER: Final = "klever-autoscaling"


async def hand_over(client: KubeClient, live: Object | None, wanted: Object, predictor: PredictorWorkload) -> None:
    """Set the replicas with which an autoscaler begins, unless the Deployment `live` has an autoscaler already.

    `wanted` names no number of replicas. The annotation `AUTOSCALED` of the Deployment says that this is done.
    """
    if not is_autoscaled(predictor) or (live is not None and AUTOSCALED in live["metadata"].get("annotations", {})):
        return
    metadata = wanted["metadata"]
    replicas = {"replicas": first_replicas(predictor, live["spec"].get("replicas", 1) if live else 0)}
    annotations = {name: value for name, value in metadata["annotations"].items() if name != AUTOSCALED}
    owned = {"metadata": {**metadata, "annotations": annotations}, "spec": {**wanted["spec"], **replicas}}
    await client.apply(DEPLOYMENT, {**wanted, **owned})
    named = {"metadata": {"namespace": metadata["namespace"], "name": metadata["name"]}, "spec": replicas}
    await client.apply(DEPLOYMENT, named, manager=_MANAGER)
