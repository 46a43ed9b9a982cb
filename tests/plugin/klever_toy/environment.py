"""The environment toy: Python and nothing else, for the programs of the converter and the runtime."""

from pathlib import Path

from klever.environments import Environment

__all__ = ["TOY"]

TOY = Environment(
    name="toy",
    description="Python alone",
    pythons=("3.11", "3.12", "3.13"),
    lock=Path(__file__).with_name("environment.txt"),
)
