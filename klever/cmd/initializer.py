"""`python -m klever.cmd.initializer DOCUMENT.json`: the storage initializer of a replica's pod.

It pulls the model and lays out the directories that the server of the next container reads. DOCUMENT.json holds
`serving`, the name under which the model must answer; `predictor`: `runtime`, `model`, and what
`klever.backends.kubernetes.layout` reads; and `secrets`, as for a task.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from klever.artifacts import model
from klever.backends.kubernetes.layout import ROOT, lay_out
from klever.cmd.runtimes import bounded
from klever.cmd.task import read_registries, report
from klever.errors import InvalidError, KleverError
from klever.executors import Outcome
from klever.limits import Limits
from klever.oci.client import RegistryClient
from klever.oci.layout import Layout
from klever.oci.reference import Reference
from klever.runtimes import Model
from klever.runtimes.table import create

UNUSABLE: Final = "ModelUnusable"
"""The reason of an outcome that another try does not change."""


def main() -> int:
    """Return 0 or 1. The outcome says whether another try may succeed."""
    document = json.loads(Path(sys.argv[1]).read_text())
    try:
        _initialize(document, Path(ROOT))
    except InvalidError as error:
        return report(Outcome(1, error.message, UNUSABLE))
    except KleverError as error:
        return report(Outcome(1, error.message, "PullFailed"))
    return report(Outcome(0, "the model is laid out", "Completed"))


def _initialize(document: dict[str, Any], root: Path) -> None:
    predictor, limits = document["predictor"], Limits(**document["limits"])
    served = Model(document["serving"], "", (), None)
    if predictor["model"]:
        served = _pull(document, root, limits)
    if not predictor["image"]:  # an image starts by itself
        runtime = create(predictor["runtime"], **bounded(limits).get(predictor["runtime"], {}))
    lay_out(root, runtime, served, predictor)


def _pull(document: dict[str, Any], root: Path, limits: Limits) -> Model:
    reference = Reference.parse(document["predictor"]["model"])
    layout = Layout(root / "pulled")
    client = RegistryClient(read_registries(document["secrets"]).resolve(reference))
    try:
        pulled = model.pull(reference, layout, client)
        model.export(reference, layout, root, replace=True, limits=limits)
    finally:
        client.close()
    directory = root / "model"
    found = tuple(sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()))
    return Model(document["serving"], pulled.format, found, pulled.metadata.signature)


if __name__ == "__main__":
    sys.exit(main())
