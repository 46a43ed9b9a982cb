"""`python torch_networks.py NAME DIRECTORY`: saves a network as TorchScript, and its signature beside the directory.

It runs in the Python of the environment `torch`. The weights are random.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

Network = tuple[Any, tuple[Any, ...]]
"""A module, and what it is called with."""
NETWORKS: dict[str, Callable[[], Network]] = {}


def network(make: Callable[[], Network]) -> Callable[[], Network]:
    NETWORKS[make.__name__] = make
    return make


@network
def dense() -> Network:
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 3), nn.Softmax(1)), (torch.rand(2, 20),)


@network
def words() -> Network:
    layers = nn.Sequential(nn.Embedding(9, 8), nn.Flatten(), nn.Linear(96, 1), nn.Sigmoid())
    return layers, (torch.randint(0, 9, (2, 12)),)


@network
def upsampling() -> Network:
    return nn.Sequential(nn.ConvTranspose2d(3, 4, 2, 2), nn.Upsample(scale_factor=2)), (torch.rand(2, 3, 8, 8),)


@network
def attention() -> Network:
    layer = nn.TransformerDecoderLayer(16, 2, 32, batch_first=True)
    return nn.TransformerDecoder(layer, 2), (torch.rand(2, 5, 16), torch.rand(2, 5, 16))


class Recurrent(nn.Module):  # type: ignore[misc]  # PyTorch is not installed here
    """A loop over steps, which only `torch.jit.script` keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(8, 16)

    def forward(self, steps: torch.Tensor) -> torch.Tensor:
        state = torch.zeros(steps.size(0), 16)
        for step in range(steps.size(1)):
            state = self.cell(steps[:, step], state)
        return state


@network
def loop() -> Network:
    return torch.jit.script(Recurrent()), (torch.rand(2, 5, 8),)


@network
def vgg11() -> Network:
    layers: list[Any] = []
    channels = 3
    for width, pooled in ((64, 1), (128, 1), (256, 0), (256, 1), (512, 0), (512, 1), (512, 0), (512, 1)):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), *([nn.MaxPool2d(2)] * pooled)]
        channels = width
    head = [nn.Flatten(), nn.Linear(25088, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)]
    return nn.Sequential(*layers, *head), (torch.rand(2, 3, 224, 224),)


class Block(nn.Module):  # type: ignore[misc]  # PyTorch is not installed here
    """The basic block of a residual network."""

    def __init__(self, given: int, width: int) -> None:
        super().__init__()
        stride = 1 if given == width else 2
        self.layers = nn.Sequential(
            *(nn.Conv2d(given, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)),
        )
        shortcut = (nn.Conv2d(given, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.shortcut = nn.Identity() if given == width else nn.Sequential(*shortcut)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.layers(x) + self.shortcut(x))


@network
def resnet18() -> Network:
    stem = (nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    widths = (64, 64, 64, 128, 128, 256, 256, 512, 512)
    blocks = [Block(given, width) for given, width in pairwise(widths)]
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))
    return nn.Sequential(*stem, *blocks, *head), (torch.rand(2, 3, 224, 224),)


def tensor(name: str, value: Any) -> dict[str, Any]:
    dtype = str(value.dtype).removeprefix("torch.")
    return {"name": name, "dType": dtype, "size": [-1, *value.shape[1:]]}


def main() -> None:
    name, directory = sys.argv[1], Path(sys.argv[2])
    torch.manual_seed(1)
    module, given = NETWORKS[name]()
    saved = (
        module
        if isinstance(module, torch.jit.ScriptModule)
        else torch.jit.trace(module.eval(), given, check_trace=False)
    )
    saved.save(str(directory / "m.pt"))
    names = [argument.name for argument in saved.forward.schema.arguments[1:]]
    signature = {
        "inputs": [tensor(*pair) for pair in zip(names, given, strict=True)],
        "outputs": [tensor("OUTPUT__0", module(*given))],
    }
    (directory.parent / "ormbfile.yaml").write_text(json.dumps({"signature": signature}))


if __name__ == "__main__":
    main()
