"""Brings an XGBoost model into the form that onnxmltools converts: gradient-boosted trees with a known objective."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import xgboost
from onnx import ModelProto

from klever.converters.programs.errors import ConversionError

__all__ = ["estimator", "read_objective", "set_targets", "trees"]

_LEAF: Final = -1
_SAME: Final = {"rank:": "reg:squarederror", "reg:logistic": "binary:logistic"}
"""Beginnings of objectives -> an objective with the same predictions, which onnxmltools converts."""
_CONVERTED: Final = ("reg:", "count:poisson", "binary:logistic", "multi:")


def read_objective(document: Mapping[str, Any]) -> str:
    """Return the name of the model's objective."""
    return str(document["learner"]["objective"]["name"])


def trees(booster: Any) -> dict[str, Any]:
    """Return the JSON document of the model as plain trees.

    The trees of a dart model get their weights, and a ranking becomes a regression with the same predictions. Raises
    `ConversionError` for a model that is not a sum of trees with one output each, and for an unknown objective.
    """
    document: dict[str, Any] = json.loads(booster.save_raw("json"))
    learner = document["learner"]
    found = learner["gradient_booster"]
    if found["name"] == "dart":
        found = learner["gradient_booster"] = _plain(found)
    if found["name"] != "gbtree":
        raise ConversionError(
            f"the booster {found['name']} cannot be converted, because it is not made of trees: train the model with "
            "the booster gbtree or dart, or serve it as XGBoost"
        )
    if any(int(tree["tree_param"]["size_leaf_vector"]) > 1 for tree in found["model"]["trees"]):
        raise ConversionError(
            "the booster gbtree with multi_strategy=multi_output_tree cannot be converted: train the model with "
            "multi_strategy=one_output_per_tree, or serve it as XGBoost"
        )
    learner["objective"] = _converted(learner["objective"])
    return document


def _converted(objective: dict[str, Any]) -> dict[str, Any]:
    """Return the objective that onnxmltools converts. Raises `ConversionError` if there is none."""
    for beginning, name in _SAME.items():
        if objective["name"].startswith(beginning):
            return {"name": name, "reg_loss_param": {"scale_pos_weight": "1"}}
    if not objective["name"].startswith(_CONVERTED):
        raise ConversionError(
            f"the objective {objective['name']} cannot be converted: train the model with an objective of reg, rank or "
            "multi, count:poisson or binary:logistic, or serve it as XGBoost"
        )
    return objective


def _plain(dart: Mapping[str, Any]) -> dict[str, Any]:
    """Return the trees of a dart booster, with their weights in their leaves."""
    found: dict[str, Any] = dart["gbtree"]
    for tree, weight in zip(found["model"]["trees"], dart["weight_drop"], strict=True):
        tree["split_conditions"] = [
            value * weight if child == _LEAF else value
            for value, child in zip(tree["split_conditions"], tree["left_children"], strict=True)
        ]
    return {**found, "name": "gbtree"}


def estimator(document: Mapping[str, Any]) -> Any:
    """Return the model as an estimator: from a booster alone, onnxmltools guesses its kind and number of targets."""
    is_classifier = read_objective(document).startswith(("binary:", "multi:"))
    found = xgboost.XGBClassifier() if is_classifier else xgboost.XGBRegressor()
    found.load_model(bytearray(json.dumps(document).encode()))
    return found


def set_targets(model: ModelProto, document: Mapping[str, Any]) -> None:
    """Set the target of each tree. onnxmltools adds all trees to the first target."""
    targets = document["learner"]["gradient_booster"]["model"]["tree_info"]
    for node in model.graph.node:
        attributes = {attribute.name: attribute for attribute in node.attribute}
        if "target_ids" in attributes:
            attributes["target_ids"].ints[:] = [targets[tree] for tree in attributes["target_treeids"].ints]
