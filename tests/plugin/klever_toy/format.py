"""The format Toy: one file `*.toy`, a JSON object such as `{"slope": [2.0, 1.0], "intercept": 0.5}`."""

from klever.formats import Format

__all__ = ["TOY"]

TOY = Format("Toy", framework="Toy", files=("*.toy",), alone=True, reader="klever_toy.reader")
