"""Writes TorchScript models and PyTorch's own answers to tests/data/networks.

Run it in the Python of an environment `torch`, for example the one of the tests:
`PYTHONPATH=. ~/.cache/klever-tests/klever/environments/torch/*/bin/python hack/models/torch_cases.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from hack.models.serving import write


class Images(torch.nn.Module):  # type: ignore[misc]  # PyTorch is not installed here
    """A small network with two results, which are a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 4, 3)
        self.norm = torch.nn.BatchNorm2d(4)
        self.classes = torch.nn.Linear(4, 5)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = torch.relu(self.norm(self.convolution(image)))
        scores = torch.softmax(self.classes(found.mean((2, 3))), 1)
        return scores, scores.argmax(1)


class Words(torch.nn.Module):  # type: ignore[misc]  # PyTorch is not installed here
    """Text, a number, and a dictionary of results. Only `torch.jit.script` can save its branches."""

    def forward(self, words: list[str], weights: torch.Tensor, times: int = 1) -> dict[str, torch.Tensor]:
        lengths = torch.tensor([len(word) for word in words])
        if bool(weights.sum() > 0):
            weights = weights * times
        return {"lengths": lengths, "weighted": weights * lengths}


def images() -> None:
    module = Images().eval()
    given = torch.rand(3, 3, 8, 8)
    scores, best = module(given)
    write(
        "networks/torchscript",
        lambda to: torch.jit.trace(module, given[:1]).save(str(to / "images.pt")),
        {"image": given.numpy()},
        {"OUTPUT__0": scores.detach().numpy(), "OUTPUT__1": best.numpy()},
        declared=True,
    )


def words() -> None:
    module = torch.jit.script(Words())
    asked, weights = ["Klever", "", "grün"], torch.tensor([0.5, 1.0, 2.0])
    results = module(asked, weights, 3)

    def save(to: Path) -> None:
        module.save(str(to / "words.pt"))

    inputs: dict[str, Any] = {
        "words": np.array([word.encode() for word in asked], object),
        "weights": weights.numpy(),
        "times": np.array([3]),
    }
    write("networks/torchscript-dict", save, inputs, {n: v.numpy() for n, v in results.items()}, declared=True)


torch.manual_seed(12)
images()
words()
