"""The Open Inference Protocol for the same models, in JSON: a tensor of one dimension per field."""

from bounds import RefusedError, quoted

TYPES = {"double": "FP64", "float": "FP32", "integer": "INT64", "boolean": "BOOL"}
"""The types of fields. All others are text."""


def metadata(model):
    def tensors(fields):
        return [{"name": one["id"], "datatype": datatype(one), "shape": [-1]} for one in fields]

    return {
        "name": model.name,
        "versions": ["1"],
        "platform": "pmml",
        "inputs": tensors(model.inputs),
        "outputs": tensors((*model.targets, *model.outputs)),
    }


def infer(model, request, bounds):
    """Answer a request for several rows at once."""
    try:
        columns = {tensor["name"]: list(tensor["data"]) for tensor in request["inputs"]}
    except (KeyError, TypeError) as error:
        raise RefusedError(400, "inputs must be a list of tensors with name and data") from error
    unknown = columns.keys() - {one["id"] for one in model.inputs}
    sizes = {len(column) for column in columns.values()}
    if unknown or len(sizes) != 1:
        raise RefusedError(
            400, f"unknown inputs: {quoted(sorted(unknown))}" if unknown else "inputs must have the same length"
        )
    bounds.check("scored_records", *sizes, "the request")
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    results = model.evaluate(rows)
    outputs = [
        {
            "name": one["id"],
            "datatype": datatype(one),
            "shape": [len(results)],
            "data": [result[one["id"]] for result in results],
        }
        for one in (*model.targets, *model.outputs)
    ]
    return {"model_name": model.name, "model_version": "1", "outputs": outputs}


def datatype(one):
    return TYPES.get(one["dataType"], "BYTES")
