"""The messages of a Caffe net, with the numbers of BVLC's src/caffe/proto/caffe.proto."""

from __future__ import annotations

from typing import Any, Final

from klever.converters.programs.messages import messages

__all__ = ["V1_TYPES", "NetParameter"]

_LAYER: Final = {
    "name": (1, "string"), "type": (2, "string"), "bottom": (3, "string*"), "top": (4, "string*"),
    "blobs": (7, "Blob*"),    "include": (8, "Rule*"), "exclude": (9, "Rule*"), "concat_param": (104, "Concat"),
    "convolution_param": (106, "Convolution"), "dropout_param": (108, "Empty"), "eltwise_param": (110, "Eltwise"),
    "inner_product_param": (117, "InnerProduct"), "lrn_param": (118, "LRN"),
    "pooling_param": (121, "Pooling"), "power_param": (122, "Power"), "relu_param": (123, "ReLU"),
    "softmax_param": (125, "Softmax"), "slice_param": (126, "Slice"), "prelu_param": (131, "PReLU"),
    "reshape_param": (133, "Reshape"), "flatten_param": (135, "Flatten"), "batch_norm_param": (139, "BatchNorm"),
    "elu_param": (140, "ELU"), "bias_param": (141, "Scale"), "scale_param": (142, "Scale"),
    "input_param": (143, "Input"),
}  # fmt: skip
_V1_NUMBERS: Final = {
    "bottom": 2, "top": 3, "name": 4, "blobs": 6, "include": 32, "exclude": 33, "concat_param": 9,
    "convolution_param": 10, "dropout_param": 12, "inner_product_param": 17, "lrn_param": 18, "pooling_param": 19,
    "power_param": 21,
    "eltwise_param": 24, "relu_param": 30, "slice_param": 31, "softmax_param": 39,
}  # fmt: skip
_V1_LAYER: Final = {
    "type": (5, "int32"),
    **{field: (number, _LAYER[field][1]) for field, number in _V1_NUMBERS.items()},
}
_SCHEMA: Final = {
    "Empty": {},
    "Shape": {"dim": (1, "int64**")},
    "Blob": {
        "num": (1, "int32"), "channels": (2, "int32"), "height": (3, "int32"), "width": (4, "int32"),
        "data": (5, "float**"), "shape": (7, "Shape"), "double_data": (8, "double**"),
    },
    "Rule": {"phase": (1, "Phase")},
    "Concat": {"axis": (2, "int32=1"), "concat_dim": (1, "uint32=1")},
    "Convolution": {
        "num_output": (1, "uint32"), "bias_term": (2, "bool=true"), "pad": (3, "uint32*"),
        "kernel_size": (4, "uint32*"), "group": (5, "uint32=1"), "stride": (6, "uint32*"), "pad_h": (9, "uint32"),
        "pad_w": (10, "uint32"),
        "kernel_h": (11, "uint32"), "kernel_w": (12, "uint32"), "stride_h": (13, "uint32"), "stride_w": (14, "uint32"),
        "axis": (16, "int32=1"), "dilation": (18, "uint32*"),
    },
    "Eltwise": {"operation": (1, "Operation=SUM"), "coeff": (2, "float*")},
    "InnerProduct": {
        "num_output": (1, "uint32"), "bias_term": (2, "bool=true"), "axis": (5, "int32=1"), "transpose": (6, "bool"),
    },
    "LRN": {
        "local_size": (1, "uint32=5"), "alpha": (2, "float=1"), "beta": (3, "float=0.75"), "norm_region": (4, "Region"),
        "k": (5, "float=1"),
    },
    "Pooling": {
        "pool": (1, "Method"), "kernel_size": (2, "uint32"), "stride": (3, "uint32=1"), "pad": (4, "uint32"),
        "kernel_h": (5, "uint32"), "kernel_w": (6, "uint32"), "stride_h": (7, "uint32"), "stride_w": (8, "uint32"),
        "pad_h": (9, "uint32"), "pad_w": (10, "uint32"), "global_pooling": (12, "bool"), "round_mode": (13, "Rounding"),
    },
    "Power": {"power": (1, "float=1"), "scale": (2, "float=1"), "shift": (3, "float=0")},
    "ReLU": {"negative_slope": (1, "float=0")},
    "PReLU": {"channel_shared": (2, "bool")},
    "ELU": {"alpha": (1, "float=1")},
    "Softmax": {"axis": (2, "int32=1")},
    "Slice": {"axis": (3, "int32=1"), "slice_point": (2, "uint32*"), "slice_dim": (1, "uint32=1")},
    "Reshape": {"shape": (1, "Shape"), "axis": (2, "int32=0"), "num_axes": (3, "int32=-1")},
    "Flatten": {"axis": (1, "int32=1"), "end_axis": (2, "int32=-1")},
    "BatchNorm": {"use_global_stats": (1, "bool"), "eps": (3, "float=0.00001")},
    "Scale": {"axis": (1, "int32=1"), "num_axes": (2, "int32=1"), "bias_term": (4, "bool")},
    "Input": {"shape": (1, "Shape*")},
    "Layer": _LAYER,
    "V1Layer": _V1_LAYER,
    "Net": {
        "name": (1, "string"), "layers": (2, "V1Layer*"), "input": (3, "string*"), "input_dim": (4, "int32*"),
        "input_shape": (8, "Shape*"), "layer": (100, "Layer*"),
    },
}  # fmt: skip
_ENUMS: Final = {
    "Phase": ("TRAIN", "TEST"),
    "Operation": ("PROD", "SUM", "MAX"),
    "Region": ("ACROSS_CHANNELS", "WITHIN_CHANNEL"),
    "Method": ("MAX", "AVE", "STOCHASTIC"),
    "Rounding": ("CEIL", "FLOOR"),
}
V1_TYPES: Final = {
    3: "Concat", 4: "Convolution", 6: "Dropout", 8: "Flatten", 14: "InnerProduct", 15: "LRN", 17: "Pooling", 18: "ReLU",
    19: "Sigmoid", 20: "Softmax", 21: "SoftmaxWithLoss", 22: "Split", 23: "TanH", 25: "Eltwise", 26: "Power",
    33: "Slice", 35: "AbsVal", 36: "Silence", 38: "Exp", 39: "Deconvolution", 1: "Accuracy", 5: "Data",
    12: "ImageData",
}  # fmt: skip
"""V1LayerParameter.LayerType, and the current name of each."""

NetParameter: Any = messages("caffe", _SCHEMA, _ENUMS)["Net"]
