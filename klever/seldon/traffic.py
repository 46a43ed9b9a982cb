"""Shares and header matches of the predictors of a SeldonDeployment.

The predecessor ignored all shares as soon as one predictor had matches. The default predictor then got the other
requests, and without one they got 404.
"""

from __future__ import annotations

from typing import NamedTuple, Self

from klever.seldon.containers import Fields
from klever.seldon.matches import read_matches
from klever.seldon.sections import Section

__all__ = ["Routed", "route"]

_ALL = 100


class Routed(NamedTuple):
    """A predictor of the document, and the fields of the Serving's predictor so far."""

    section: Section
    share: int | None
    matches: list[Fields]
    fields: Fields

    @classmethod
    def read(cls, predictor: Section) -> Self:
        return cls(predictor, predictor.integer("traffic"), read_matches(predictor), {})

    @property
    def name(self) -> str:
        return str(self.fields.get("name", ""))


def route(spec: Section, default: str, predictors: list[Routed]) -> None:
    """Set `traffic` and `matches` of the predictors."""
    if default and default not in [one.name for one in predictors]:
        spec.error("defaultPredictor", f"must be the name of a predictor, not {default!r}")
    if any(one.matches for one in predictors):
        _by_matches(spec, default, predictors)
        return
    if default:
        spec.warn("defaultPredictor", "is not imported: no predictor has trafficMatchs, so the shares decide")
    shares = [one.share or 0 for one in predictors]
    if len(predictors) > 1 and sum(shares) != _ALL:
        spec.error("predictors", f"traffic must sum to 100, not {sum(shares)}")
    for one, share in zip(predictors, shares, strict=True):
        if len(predictors) > 1:
            one.fields["traffic"] = share


def _by_matches(spec: Section, default: str, predictors: list[Routed]) -> None:
    matching = [index for index, one in enumerate(predictors) if one.matches and one.name != default]
    others = [one for one in predictors if not one.matches and one.name != default]
    for index, one in enumerate(predictors):
        if one.share and one.share != _ALL:
            one.section.warn("traffic", "is not imported: the predecessor ignored shares beside trafficMatchs")
        if one.name == default:
            _default(spec, one, any(later > index for later in matching))
            if others:
                one.fields["traffic"] = _ALL
        elif one.matches:
            one.fields["matches"] = one.matches
    for one in others:
        _unreached(one, default, len(others))


def _default(spec: Section, one: Routed, is_early: bool) -> None:
    if one.matches:
        why = "is not imported: the default predictor takes all requests that no other predictor matches"
        one.section.warn("trafficMatchs", why)
    if is_early:
        why = "stands before a predictor with trafficMatchs, which the predecessor then ignored; a Serving respects it"
        spec.warn("defaultPredictor", why)


def _unreached(one: Routed, default: str, count: int) -> None:
    """The predecessor sent no request to a predictor that has no matches and is not the default one."""
    if default:
        one.fields["traffic"] = 0
        one.section.report.warn(one.section.path(), "gets no requests, as before: remove it if nobody needs it")
    elif count == 1:
        why = "got no requests, and now takes those that no predictor matches: remove it, or keep it as the default"
        one.section.report.warn(one.section.path(), why)
    else:
        why = "gets no requests: name one predictor without trafficMatchs in defaultPredictor, or remove this one"
        one.section.report.error(one.section.path(), why)
