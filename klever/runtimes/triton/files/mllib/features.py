"""Transformers of columns. Source: org.apache.spark.ml.feature."""

import numpy as np
from reading import matrix, vector


def each(stage, functions):
    """Apply a function to each input column, and add its result as the output column."""
    inputs, outputs = stage.columns("inputCol", "inputCols"), stage.columns("outputCol", "outputCols")

    def run(columns):
        for source, target, function in zip(inputs, outputs, functions, strict=True):
            columns[target] = function(columns[source])

    return run


def indexer(stage):
    row = stage.row()
    lists = row["labelsArray"] if "labelsArray" in row else [row["labels"]]
    keep = stage.parameter("handleInvalid") == "keep"

    def function(labels):
        numbers = {label: number for number, label in enumerate(labels)}

        def index(texts):
            unknown = len(labels) if keep else None
            found = [numbers.get(str(text), unknown) for text in texts.reshape(-1)]
            if None in found:
                raise ValueError(f"the model does not know the label {texts.reshape(-1)[found.index(None)]!r}")
            return np.array(found, float)

        return index

    return each(stage, list(map(function, lists)))


def to_string(stage):
    labels = np.array(stage.parameter("labels") or [], object)
    if not len(labels):
        raise ValueError("IndexToString without the parameter labels cannot be computed without Spark")
    return each(stage, [lambda numbers: labels[numbers.astype(int)]])


def encoder(stage):
    keep, drop = stage.parameter("handleInvalid") == "keep", stage.parameter("dropLast")

    def function(size):
        width = int(size) + keep - drop

        def encode(numbers):
            invalid = (numbers < 0) | (numbers >= size) | (numbers != np.floor(numbers))
            if invalid.any() and not keep:
                raise ValueError(f"the category {numbers[invalid][0]} must be between 0 and {int(size) - 1}")
            places = np.where(invalid, size, numbers).astype(int)
            return (places[:, None] == np.arange(width)).astype(float)

        return encode

    return each(stage, list(map(function, stage.row()["categorySizes"])))


def assembler(stage):
    names, output = stage.parameter("inputCols"), stage.parameter("outputCol")
    keep = stage.parameter("handleInvalid") == "keep"

    def run(columns):
        for name in names:
            if columns[name].ndim == 1 and not keep and np.isnan(columns[name]).any():
                raise ValueError(f"the column {name} has a missing value")
        columns[output] = np.column_stack([columns[name] for name in names]).astype(float)

    return run


def inverse(values, otherwise):
    return np.divide(1, values, out=np.full_like(values, otherwise), where=values != 0)


def standard_scaler(stage):
    row = stage.row()
    shift = vector(row["mean"]) if stage.parameter("withMean") else 0
    scale = inverse(vector(row["std"]), 0) if stage.parameter("withStd") else 1
    return each(stage, [lambda vectors: (vectors - shift) * scale])


def min_max_scaler(stage):
    row, low, high = stage.row(), stage.number("min"), stage.number("max")
    least = vector(row["originalMin"])
    span = vector(row["originalMax"]) - least
    scale = (high - low) * inverse(span, 0)
    constant = np.where(span == 0, (high + low) / 2, low)
    return each(stage, [lambda vectors: np.where(span == 0, 0, vectors - least) * scale + constant])


def max_abs_scaler(stage):
    scale = inverse(vector(stage.row()["maxAbs"]), 1)
    return each(stage, [lambda vectors: vectors * scale])


def robust_scaler(stage):
    row = stage.row()
    shift = vector(row["median"]) if stage.parameter("withCentering") else 0
    scale = inverse(vector(row["range"]), 0) if stage.parameter("withScaling") else 1
    return each(stage, [lambda vectors: (vectors - shift) * scale])


def normalizer(stage):
    power = stage.number("p")

    def normalize(vectors):
        norms = np.linalg.norm(vectors, power, axis=1, keepdims=True)
        return np.divide(vectors, norms, out=np.array(vectors, float), where=norms != 0)

    return each(stage, [normalize])


def principal_components(stage):
    components = matrix(stage.row()["pc"])
    return each(stage, [lambda vectors: vectors @ components])


def binarizer(stage):
    limits = stage.parameter("thresholds") or [stage.number("threshold")]
    return each(stage, [lambda values, limit=float(limit): (values > limit).astype(float) for limit in limits])


def bucketizer(stage):
    keep = stage.parameter("handleInvalid") == "keep"

    def function(splits):
        edges = np.array(splits, float)  # Spark writes infinity as text

        def bucket(values):
            found = np.searchsorted(edges, values, "right") - 1
            found = np.where(values == edges[-1], len(edges) - 2, found)
            outside = (values < edges[0]) | (values > edges[-1]) | (np.isnan(values) & (not keep))
            if outside.any():
                raise ValueError(f"the value {values[outside][0]} is outside the buckets")
            return np.where(np.isnan(values), len(edges) - 1, found).astype(float)

        return bucket

    return each(stage, list(map(function, stage.parameter("splitsArray") or [stage.parameter("splits")])))


def imputer(stage):
    row, missing = stage.row(), stage.number("missingValue")

    def function(surrogate):
        def fill(values):
            return np.where(np.isnan(values) if np.isnan(missing) else values == missing, surrogate, values)

        return fill

    return each(stage, [function(row[name]) for name in stage.columns("inputCol", "inputCols")])


def vector_indexer(stage):
    maps = {index: dict(pairs) for index, pairs in stage.row()["categoryMaps"]}
    keep = stage.parameter("handleInvalid") == "keep"

    def index(vectors):
        found = np.array(vectors, float)
        for feature, numbers in maps.items():
            unknown = len(numbers) if keep else None
            column = [numbers.get(value, unknown) for value in found[:, feature]]
            if None in column:
                raise ValueError(f"the model does not know the category {found[column.index(None), feature]}")
            found[:, feature] = column
        return found

    return each(stage, [index])


def selector(stage):
    chosen = np.sort(stage.row()["selectedFeatures"])

    def run(columns):
        columns[stage.parameter("outputCol")] = stage.input(columns)[:, chosen]

    return run


def slicer(stage):
    if stage.parameter("names"):
        raise ValueError("VectorSlicer with the parameter names cannot be computed without Spark")
    chosen = stage.parameter("indices")
    return each(stage, [lambda vectors: vectors[:, chosen]])


def product(stage):
    scale = vector(stage.parameter("scalingVec"))
    return each(stage, [lambda vectors: vectors * scale])


STAGES = {
    "Binarizer": binarizer,
    "Bucketizer": bucketizer,
    "ChiSqSelectorModel": selector,
    "ElementwiseProduct": product,
    "ImputerModel": imputer,
    "IndexToString": to_string,
    "MaxAbsScalerModel": max_abs_scaler,
    "MinMaxScalerModel": min_max_scaler,
    "Normalizer": normalizer,
    "OneHotEncoderModel": encoder,
    "PCAModel": principal_components,
    "RobustScalerModel": robust_scaler,
    "StandardScalerModel": standard_scaler,
    "StringIndexerModel": indexer,
    "UnivariateFeatureSelectorModel": selector,
    "VarianceThresholdSelectorModel": selector,
    "VectorAssembler": assembler,
    "VectorIndexerModel": vector_indexer,
    "VectorSlicer": slicer,
}
