"""How `klever deploy` changes the predictors of a Serving. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from klever.errors import InvalidError
from klever.oci.reference import Reference
from klever.traffic.matches import is_matched
from klever.traffic.rollouts import CANARY, MAIN, find, primary, promote
from klever.traffic.shares import WHOLE, read_shares

__all__ = ["Wish", "changed_predictors"]

Predictor = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wish:
    """What to deploy. `digest` is what the model names now, empty if that is not known. `settings` are further fields.

    `canary` is the share of a new canary in percent; None to change the predictor `name`, by default the main one.
    """

    model: str
    digest: str
    name: str = ""
    canary: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def predictor(self) -> Predictor:
        """Return it as the only predictor of a new Serving. Raises `InvalidError` for a canary."""
        if self.canary is not None:
            raise InvalidError("a canary needs an existing Serving: deploy without --canary first")
        return {"name": self.name or MAIN, "model": self.model, **self.settings}


def changed_predictors(serving: Mapping[str, Any], wish: Wish) -> list[Predictor]:
    """Return the predictors of a Serving, with its status, as the wish changes them; all else stays.

    Raises `NotFoundError` if the predictor does not exist, `InvalidError` where a canary cannot stand.
    """
    predictors: list[Predictor] = serving["spec"]["predictors"]
    pins = {
        p["name"]: (p.get("model", ""), p.get("digest", "")) for p in serving.get("status", {}).get("predictors", ())
    }
    if wish.canary is not None:
        return _beside_canary(serving, pins, wish)
    name = find(predictors, wish.name)["name"] if wish.name else primary(predictors)["name"]
    return [
        {**p, **wish.settings, "model": _reference(p, pins.get(name), wish)} if p["name"] == name else p
        for p in predictors
    ]


def _reference(predictor: Predictor, pin: tuple[str, str] | None, wish: Wish) -> str:
    """Return the model as the spec shall have it: with the digest if the tag moved since it was pinned."""
    same = predictor.get("model") == wish.model and pin is not None and pin[0] == wish.model
    if same and pin and pin[1] and wish.digest and pin[1] != wish.digest:
        return _with_digest(wish.model, wish.digest)
    return wish.model


def _with_digest(model: str, digest: str) -> str:
    reference = Reference.parse(model)
    return f"{reference.name}{f':{reference.tag}' if reference.tag else ''}@{digest}"


def _beside_canary(serving: Mapping[str, Any], pins: Mapping[str, tuple[str, str]], wish: Wish) -> list[Predictor]:
    """Return main with its new share, the canary, and what takes requests by their headers.

    A canary that takes all requests already is what really serves: it becomes main. A new canary has main's settings,
    and one process.
    """
    predictors: list[Predictor] = serving["spec"]["predictors"]
    shares = read_shares(predictors)
    if MAIN not in shares:
        raise InvalidError("a canary needs a predictor main with a share: use klever apply")
    if others := sorted(shares.keys() - {MAIN, CANARY}):
        raise InvalidError(f"the requests are also divided among {', '.join(others)}: use klever apply")
    if shares.get(CANARY) == WHOLE:
        model, digest = pins.get(CANARY, ("", ""))
        pinned = [
            {**p, "model": _with_digest(model, digest)} if p["name"] == CANARY and digest and p["model"] == model else p
            for p in predictors
        ]
        predictors = promote(pinned, CANARY, serving["spec"].get("replicas", 1))
    before = next((p for p in predictors if p["name"] == CANARY), None)
    if before is None:
        settings = {field: value for field, value in find(predictors, MAIN).items() if field != "autoscaling"}
        before = {**settings, "name": CANARY, "replicas": 1}
    elif is_matched(before):
        raise InvalidError(f"the predictor {CANARY} receives requests by their headers: use klever apply")
    canary = {**before, **wish.settings, "model": _reference(before, pins.get(CANARY), wish), "traffic": wish.canary}
    kept = [{**p, "traffic": WHOLE - (wish.canary or 0)} if p["name"] == MAIN else p for p in predictors]
    return [*(p for p in kept if p["name"] != CANARY), canary]
