"""Makes the estimators of XGBoost known to skl2onnx. The import registers them."""

from __future__ import annotations

from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
from skl2onnx import update_registered_converter
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)
from xgboost import XGBClassifier, XGBRegressor

update_registered_converter(
    XGBClassifier,
    "XgboostXGBClassifier",
    calculate_linear_classifier_output_shapes,
    convert_xgboost,
    options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
)
update_registered_converter(
    XGBRegressor, "XgboostXGBRegressor", calculate_linear_regressor_output_shapes, convert_xgboost
)
