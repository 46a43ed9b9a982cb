"""The models of one server, on pypmml: what they take, and what they answer."""

import hashlib
import json
import math
import re
from datetime import UTC, datetime

from pypmml import Model, PMMLContext

OP_TYPES = {"nominal": "categorical"}
"""PMML4S's words for PMML's."""
NUMBERS = {"double", "float", "integer"}


class RefusedError(Exception):
    """A request that is refused: an HTTP status and why."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Models:
    """Models by id. The pinned one stays as it is; others come and go if `deploy` is set."""

    def __init__(self, *, pinned, deploy):
        PMMLContext.getOrCreate(gateway="jpype", java_opts=["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        self._pinned = pinned
        self._deploy = deploy
        self._models = {}

    def ids(self):
        return sorted(self._models)

    def get(self, name):
        if name not in self._models:
            raise RefusedError(404, f"Model {name!r} not found")
        return self._models[name]

    def put(self, name, document):
        """Add or replace a model; returns it and whether it is new."""
        is_new = name not in self._models
        self._models[name] = Served(name, document)
        return self._models[name], is_new

    def delete(self, name):
        self.get(name)
        del self._models[name]

    def check_change(self, name):
        """Raise `RefusedError` unless callers may change the model."""
        if not self._deploy or name == self._pinned:
            raise RefusedError(403, f"Model {name!r} is not to be changed here")


class Served:
    """One model."""

    def __init__(self, name, document):
        try:
            self._model = Model.fromString(document.decode())
        except Exception as error:  # Java's own classes of exceptions
            raise RefusedError(400, f"this is not a PMML model: {error}") from error
        self.name = name
        self.document = document
        self.inputs = [field(one) for one in self._model.inputFields]
        self.targets = [field(one) for one in self._model.targetFields]
        self.outputs = [field(one) for one in self._model.outputFields]
        self._model.setSupplementOutput(True)  # the targets, too, where the model lists outputs
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
        """Return the targets and outputs of each row of arguments; raises `RefusedError` for values that do not fit."""
        checked = [self._checked(row) for row in rows]
        try:
            results = json.loads(str(self._model.predict(json.dumps(checked))))
        except Exception as error:  # Java's own classes of exceptions
            raise RefusedError(400, f"the model cannot be evaluated: {error}") from error
        return [self._result(result) for result in results]

    def _checked(self, row):
        if not isinstance(row, dict):
            raise RefusedError(400, "arguments must be an object")
        return {one["id"]: checked(one, row[one["id"]]) for one in self.inputs if row.get(one["id"]) is not None}

    def _result(self, result):
        """The values by field; PMML4S names targets `predicted_TARGET`."""
        found = {}
        for one in (*self.targets, *self.outputs):
            name = one["id"]
            value = result.get(name, result.get(f"predicted_{name}"))
            if value is None or (isinstance(value, float) and math.isnan(value)):
                raise RefusedError(400, f"the model has no result for these arguments: {name} is missing")
            found[name] = value
        return found


def field(one):
    """A field as OpenScoring describes it."""
    described = {"id": str(one.name), "dataType": str(one.dataType).lower()}
    op_type = str(one.opType).lower()
    described["opType"] = OP_TYPES.get(op_type, op_type)
    if values := str(one.valuesAsString or ""):
        is_interval = values[0] in "[("
        described["values"] = [values] if is_interval else values.split(",")
    return described


def checked(one, value):
    """The value of an input field; raises `RefusedError` where its type or its values do not allow it."""
    kind, values = one["dataType"], one.get("values", [])
    wrong = RefusedError(400, f"field {one['id']!r}: {value!r} is not a valid {kind}")
    if kind in NUMBERS:
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise wrong from error
        if isinstance(value, bool) or not math.isfinite(number) or (kind == "integer" and not number.is_integer()):
            raise wrong
        value = int(number) if kind == "integer" else number
    if one["opType"] == "categorical" and values and str(value) not in values:
        raise RefusedError(400, f"field {one['id']!r}: {value!r} is none of {', '.join(values)}")
    return value
