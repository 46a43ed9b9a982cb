from __future__ import annotations

from pathlib import Path

import pytest

from klever.artifacts import model
from klever.errors import InvalidError, KleverError, UnavailableError
from klever.oci.layout import Layout
from klever.oci.reference import Reference
from klever.oci.registries import Registries
from klever.tasks import Job, Step, StepError
from klever.tasks.extraction import _export


@pytest.mark.parametrize(
    ("error", "step"),
    [
        (InvalidError("archive entry '../x' leads out of its directory"), Step.RUN),
        (UnavailableError("disk"), Step.EXPORT),
    ],
)
def test_an_archive_that_is_refused_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: KleverError, step: Step
) -> None:
    """A job that failed in the step EXPORT is run again twice a minute, for ever."""

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(model, "export", refuse)
    reference = Reference.parse("team/m:v1")
    job = Job(reference, reference, "ONNX", Registries.parse({"registries": {}}, platform=None), tmp_path, print)
    with pytest.raises(StepError) as raised:
        _export(job, Layout(tmp_path / "layout"), tmp_path / "model")
    assert raised.value.step is step
