"""Finds out whether loading a Keras configuration creates only layers of Keras, or runs functions of its author.

Sources: keras/src/saving/serialization_lib.py and keras/src/legacy/saving/serialization.py (Keras 2 and 3). Every
object is a dictionary with `class_name`. `module` and `registered_name` say where the class comes from.
"""

from __future__ import annotations

import json
from typing import Any, Final

__all__ = ["MAX_CONFIG", "code_in_config"]

MAX_CONFIG: Final = 16 << 20
"""How many bytes of a configuration are read."""


def code_in_config(config: bytes) -> str:
    """Return why a configuration is code; empty if it only creates classes of Keras."""
    found: list[str] = []

    def visit(pairs: list[tuple[str, Any]]) -> None:
        # It returns nothing, so that the whole configuration is never in memory.
        found.extend(filter(None, (_suspicious(name, value) for name, value in pairs)))
        del found[1:]

    try:
        json.loads(config.decode(), object_pairs_hook=visit)
    except (ValueError, RecursionError):
        return "its model_config is not JSON"
    return found[0] if found else ""


def _suspicious(name: str, value: object) -> str:
    if name in ("class_name", "registered_name"):
        if value is None or (isinstance(value, str) and value in _CLASSES):
            return ""
        return f"{name} {value!r}" if isinstance(value, str) else f"a {name} that is not text"
    if name == "module" and not (value is None or _is_of_keras(value)):
        return f"module {value!r}" if isinstance(value, str) else "a module that is not text"
    return ""


def _is_of_keras(module: object) -> bool:
    return isinstance(module, str) and module.partition(".")[0] in ("keras", "tf_keras")


_CLASSES: Final = frozenset(
    """
    AUC AWQConfig AWQDTypePolicy AbsMaxQuantizer AbstractRNNCell Accuracy Activation ActivityRegularization
    Adadelta Adafactor Adagrad Adam AdamW Adamax AdaptiveAveragePooling1D AdaptiveAveragePooling2D
    AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention
    AlphaDropout Attention AugMix AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D
    AvgPool1D AvgPool2D AvgPool3D BatchNormalization BatchNormalizationV1 BatchNormalizationV2 Bidirectional
    BinaryAccuracy BinaryCrossentropy BinaryFocalCrossentropy BinaryIoU CTC CategoricalAccuracy
    CategoricalCrossentropy CategoricalFocalCrossentropy CategoricalGeneralizedCrossEntropy CategoricalHinge
    CategoryEncoding CenterCrop Circle Concatenate ConcordanceCorrelation Constant Constraint
    ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D
    Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D Convolution1DTranspose Convolution2D
    Convolution2DTranspose Convolution3D Convolution3DTranspose CosineDecay CosineDecayRestarts CosineSimilarity
    Cropping1D Cropping2D Cropping3D CuDNNGRU CuDNNLSTM CutMix DTypePolicy DTypePolicyMap Dense DenseFeatures
    DepthwiseConv1D DepthwiseConv2D DepthwiseConv3D Dice Discretization Dot Dropout ELU EinsumDense Embedding
    Equalization ExponentialDecay F1Score FBetaScore FalseNegatives FalsePositives Flatten
    Float8QuantizationConfig FloatDTypePolicy Ftrl Functional GPTQConfig GPTQDTypePolicy GRU GRUCell
    GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
    GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D
    GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GlorotNormal GlorotUniform GlorotUniformV2
    GroupNormalization GroupQueryAttention HashedCrossing Hashing HeNormal HeUniform Hinge Huber Identity
    IdentityInitializer Initializer Input InputLayer InputSpec Int4DTypePolicy Int4QuantizationConfig
    Int8QuantizationConfig IntegerLookup InverseTimeDecay IoU KLDivergence L1 L1L2 L2 LSTM LSTMCell Lamb Layer
    LayerNormalization LayerNormalizationV1 LeakyReLU LearningRateSchedule LecunNormal LecunUniform
    LinearCosineDecay Lion LocallyConnected1D LocallyConnected2D LogCosh LogCoshError Loss LossScaleOptimizer
    Masking MaxNorm MaxNumBoundingBoxes MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D
    Maximum Mean MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanMetricWrapper MeanRelativeError
    MeanSquaredError MeanSquaredLogarithmicError MeanTensor MelSpectrogram Metric MinMaxNorm Minimum MixUp Model
    MultiHeadAttention MultiOptimizer Multiply Muon Nadam NoisyLinearCosineDecay NonNeg Normalization OneHotIoU
    OneHotMeanIoU Ones Optimizer OptimizerMap Orthogonal OrthogonalInitializer OrthogonalRegularizer PReLU
    PearsonCorrelation PeepholeLSTMCell Permute PiecewiseConstantDecay Pipeline Poisson Policy PolynomialDecay
    Precision PrecisionAtRecall QuantizationConfig QuantizedDTypePolicy QuantizedFloat8DTypePolicy Quantizer
    R2Score RMSNormalization RMSprop RNN RadialConstraint RandAugment RandomBrightness RandomColorDegeneration
    RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur
    RandomGrayscale RandomHeight RandomHue RandomInvert RandomNormal RandomPerspective RandomPosterization
    RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation RandomUniform RandomWidth
    RandomZoom ReLU Recall RecallAtPrecision Regularizer RepeatVector Rescaling Reshape Resizing
    ReversibleEmbedding RootMeanSquaredError SGD STFT STFTInitializer STFTSpectrogram ScheduleFreeAdamW
    SensitivityAtSpecificity SeparableConv1D SeparableConv2D SeparableConvolution1D SeparableConvolution2D
    Sequential SimpleRNN SimpleRNNCell Softmax Solarization SparseCategoricalAccuracy
    SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy SpatialDropout1D SpatialDropout2D SpatialDropout3D
    SpecificityAtSensitivity SpectralNormalization SquaredHinge StackedRNNCells StringLookup Subtract Sum
    SyncBatchNormalization TextVectorization ThresholdedReLU TimeDistributed TopKCategoricalAccuracy TrueNegatives
    TruePositives TruncatedNormal Tversky UnitNorm UnitNormalization UpSampling1D UpSampling2D UpSampling3D
    VarianceScaling Wrapper ZeroPadding1D ZeroPadding2D ZeroPadding3D Zeros __ellipsis__ __keras_tensor__
    __numpy__ __tensor__ slice
""".split()  # noqa: SIM905 - a list of 200 lines
)
"""The public classes of Keras 2 and 3, without those that run code, load it, or unpickle (Lambda, TFSMLayer, …)."""
