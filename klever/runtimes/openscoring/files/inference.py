"""The Open Inference Protocol for the same models: its tensors as rows of arguments, and its JSON over HTTP."""

from bounds import RefusedError, quoted
from tensors import content, datatype, flat, values

LENGTH = "Inference-Header-Content-Length"


def tensors(fields):
    return [{"name": one["id"], "datatype": datatype(one), "shape": [-1]} for one in fields]


def outputs(model):
    return [*model.targets, *model.outputs]


def metadata(model):
    return {
        "name": model.name,
        "versions": ["1"],
        "platform": "pmml",
        "inputs": tensors(model.inputs),
        "outputs": tensors(outputs(model)),
    }


def evaluate(model, columns, names):
    """The columns of results by name: those of `names`, or all. Raises `RefusedError`."""
    unknown = columns.keys() - {one["id"] for one in model.inputs}
    known = {one["id"]: one for one in outputs(model)}
    missing = [name for name in names if name not in known]
    if unknown or missing:
        raise RefusedError(400, f"unknown tensors: {quoted(sorted([*unknown, *missing]))}")
    if len({len(column) for column in columns.values()}) != 1:
        raise RefusedError(400, "inputs must have the same length, which is the number of rows")
    model.bounds.check("scored_records", *{len(column) for column in columns.values()}, "the request")
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    results = model.evaluate(rows)
    return [(known[name], [result[name] for result in results]) for name in names or known]


def infer(model, body, length):
    """Answer a request over HTTP: the response's JSON, and the bytes behind it."""
    size = head_size(body, length)
    try:
        request = model.bounds.json(body[:size])
        columns = dict(read_inputs(request["inputs"], memoryview(body)[size:], model.bounds))
        wanted = {output["name"]: is_binary(output, "binary_data") for output in request.get("outputs", ())}
        as_bytes = is_binary(request, "binary_data_output")
    except RefusedError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RefusedError(400, f"expected inputs with name, datatype, shape and data ({quoted(error)})") from error
    described, parts = [], []
    for one, found in evaluate(model, columns, list(wanted)):
        output = {"name": one["id"], "datatype": datatype(one), "shape": [len(found)]}
        if wanted.get(one["id"], as_bytes):
            parts.append(content(output["datatype"], found))
            output["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            output["data"] = found
        described.append(output)
    answer = {"model_name": model.name, "model_version": "1", "outputs": described}
    if "id" in request:
        answer["id"] = request["id"]
    return answer, b"".join(parts)


def head_size(body, length):
    """The bytes of the JSON in a body."""
    if length is None:
        return len(body)
    if not length.isdecimal() or int(length) > len(body):
        raise RefusedError(400, f"{LENGTH} must be at most the length of the body")
    return int(length)


def read_inputs(inputs, rest, bounds):
    """Yield the name and the values of each tensor. The bytes of tensors follow the JSON in the same order."""
    for tensor in inputs:
        size = tensor.get("parameters", {}).get("binary_data_size")
        if size is None:
            data = tensor["data"]
        elif isinstance(size, int) and 0 <= size <= len(rest):
            data, rest = values(tensor["datatype"], bytes(rest[:size]), bounds), rest[size:]
        else:
            raise RefusedError(400, f"binary_data_size of {quoted(tensor['name'])}: expected at most {len(rest)} bytes")
        yield tensor["name"], flat(tensor["shape"], data)
    if len(rest):
        raise RefusedError(400, f"{len(rest)} bytes of the body belong to no tensor")


def is_binary(part, parameter):
    return bool(part.get("parameters", {}).get(parameter))
