"""How waiting requests are computed together in Triton's Python backend, whose module is replaced here."""

from __future__ import annotations

import importlib.util
import sys
import threading
from pathlib import Path
from queue import Queue
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import klever.runtimes.triton

FILE = Path(klever.runtimes.triton.__file__).parent / "files" / "batches.py"


class Request:
    """A request for one output of a number of rows. It is its own sender of responses."""

    def __init__(self, rows: int) -> None:
        self.rows = np.zeros((rows, 1), np.float32)
        self.answers: Queue[Any] = Queue()

    def inputs(self) -> list[Any]:
        return [SimpleNamespace(name=lambda: "X", shape=lambda: self.rows.shape, as_numpy=lambda: self.rows)]

    def requested_output_names(self) -> list[str]:
        return ["Y"]

    def get_response_sender(self) -> Any:
        return SimpleNamespace(send=lambda response, _: self.answers.put(response))


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> Any:
    backend: Any = ModuleType("triton_python_backend_utils")
    backend.TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1
    backend.Tensor = lambda _, array: array
    backend.InferenceResponse = lambda tensors: tensors
    monkeypatch.setitem(sys.modules, backend.__name__, backend)
    spec = importlib.util.spec_from_file_location("batches", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Model:
    """Notes how many rows each run has. The first run waits until it is released."""

    def __init__(self) -> None:
        self.runs: list[int] = []
        self.started, self.released = threading.Event(), threading.Event()

    def run(self, arrays: dict[str, Any], _: list[str]) -> list[Any]:
        self.runs.append(len(arrays["X"]))
        self.started.set()
        assert self.released.wait(10)
        return [arrays["X"]]

    def answer(self, request: Request) -> list[Any]:
        return self.run({"X": request.rows}, ["Y"])


def answered(request: Request) -> int:
    (rows,) = request.answers.get(timeout=10)
    return len(rows)


def test_a_run_has_no_more_rows_than_the_predictor_allows(batches: Any) -> None:
    model = Model()
    together = batches.Batches(model.run, ["Y"], model.answer, rows=4)
    first, *others = requests = [Request(rows) for rows in (1, 2, 2, 1, 1, 9)]
    together.take([first])
    assert model.started.wait(10)
    together.take(others)
    model.released.set()
    assert [answered(request) for request in requests] == [1, 2, 2, 1, 1, 9]
    assert model.runs == [1, 4, 2, 9]


def test_a_request_waits_for_others_as_long_as_the_predictor_says(batches: Any) -> None:
    model = Model()
    model.released.set()
    together = batches.Batches(model.run, ["Y"], model.answer, rows=2, delay=60.0)
    requests = [Request(1), Request(1)]
    for request in requests:
        together.take([request])
    assert [answered(request) for request in requests] == [1, 1]
    assert model.runs == [2]
