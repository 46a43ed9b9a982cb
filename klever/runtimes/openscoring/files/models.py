"""The models of one server, with pypmml."""

import hashlib
import json
import math
import re
import threading
from datetime import UTC, datetime

from bounds import RefusedError, quoted
from pypmml import Model, PMMLContext

OP_TYPES = {"nominal": "categorical"}
"""PMML4S's terms for those of PMML."""
NUMBERS = {"double", "float", "integer"}


class Models:
    """Models by id. The pinned one cannot change. With `deploy`, callers may add and remove others."""

    def __init__(self, *, pinned, deploy, bounds):
        PMMLContext.getOrCreate(gateway="jpype", java_opts=["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        self._pinned = pinned
        self._deploy = deploy
        self._models = {}
        self._changing = threading.Lock()
        self.bounds = bounds

    def ids(self):
        return sorted(self._models)

    def get(self, name):
        if name not in self._models:
            raise RefusedError(404, f"Model {quoted(name)} not found")
        return self._models[name]

    def put(self, name, document):
        """Add or replace a model. Return it and whether it is new. Raises `RefusedError` beyond the limits."""
        with self._changing:
            others = {key: model for key, model in self._models.items() if key not in (name, self._pinned)}
            if name != self._pinned:
                self.bounds.check("uploaded_models", len(others) + 1, "the server")
                size = len(document) + sum(len(model.document) for model in others.values())
                self.bounds.check("uploaded_bytes", size, "the server")
            is_new = name not in self._models
            self._models[name] = Served(name, document, self.bounds)
            return self._models[name], is_new

    def delete(self, name):
        with self._changing:
            self.get(name)
            del self._models[name]

    def check_change(self, name):
        """Raise `RefusedError` unless callers may change the model."""
        if not self._deploy or name == self._pinned:
            raise RefusedError(403, f"Model {name!r} cannot be changed here")


class Served:
    """One model."""

    def __init__(self, name, document, bounds):
        try:
            self._model = Model.fromString(document.decode())
        except Exception as error:  # Java has its own exception classes
            raise RefusedError(400, f"the body is not a PMML model: {error}") from error
        self.name = name
        self.bounds = bounds
        self.document = document
        self.inputs = [field(one) for one in self._model.inputFields]
        self.targets = [field(one) for one in self._model.targetFields]
        self.outputs = [field(one) for one in self._model.outputFields]
        self._model.setSupplementOutput(True)  # also return the targets if the model lists outputs
        self._created = datetime.now(UTC)

    def describe(self):
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(self._model.modelElement))
        return {
            "id": self.name,
            "miningFunction": str(self._model.functionName),
            "summary": words.replace(" Model", " model"),
            "properties": {
                "created.timestamp": self._created.isoformat(timespec="milliseconds"),
                "file.size": len(self.document),
                "file.md5sum": hashlib.md5(self.document, usedforsecurity=False).hexdigest(),
            },
            "schema": {
                "inputFields": self.inputs,
                "targetFields": self.targets,
                "outputFields": self.outputs,
            },
        }

    def evaluate(self, rows):
        """Return the targets and outputs for each row of arguments. Raises `RefusedError` for invalid values."""
        checked = [self._checked(row) for row in rows]
        try:
            results = json.loads(str(self._model.predict(json.dumps(checked))))
        except Exception as error:  # Java has its own exception classes
            raise RefusedError(400, f"cannot evaluate the model: {error}") from error
        return [self._result(result) for result in results]

    def _checked(self, row):
        if not isinstance(row, dict):
            raise RefusedError(400, "arguments must be an object")
        return {one["id"]: checked(one, row[one["id"]]) for one in self.inputs if row.get(one["id"]) is not None}

    def _result(self, result):
        """The values by field. PMML4S names targets `predicted_TARGET`."""
        found = {}
        for one in (*self.targets, *self.outputs):
            name = one["id"]
            value = result.get(name, result.get(f"predicted_{name}"))
            if value is None or (isinstance(value, float) and math.isnan(value)):
                raise RefusedError(400, f"the model has no result for these arguments: {name} is missing")
            found[name] = value
        return found


def field(one):
    """A field in the form of OpenScoring."""
    described = {"id": str(one.name), "dataType": str(one.dataType).lower()}
    op_type = str(one.opType).lower()
    described["opType"] = OP_TYPES.get(op_type, op_type)
    if values := str(one.valuesAsString or ""):
        is_interval = values[0] in "[("
        described["values"] = [values] if is_interval else values.split(",")
    return described


def checked(one, value):
    """The value of an input field. Raises `RefusedError` if its type or its allowed values exclude it."""
    kind, values = one["dataType"], one.get("values", [])
    wrong = RefusedError(400, f"field {one['id']!r}: {quoted(value)} is not a valid {kind}")
    if kind in NUMBERS:
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise wrong from error
        if isinstance(value, bool) or not math.isfinite(number) or (kind == "integer" and not number.is_integer()):
            raise wrong
        value = int(number) if kind == "integer" else number
    if one["opType"] == "categorical" and values and str(value) not in values:
        raise RefusedError(400, f"field {one['id']!r}: {quoted(value)} must be one of {', '.join(values)}")
    return value
