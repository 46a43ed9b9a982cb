"""Limits of a request and of the models of callers. The settings hold the limits by their names."""

import json
import reprlib

SEPARATORS = (b",", b"{", b"[")
"""One of these precedes each value in JSON, and each but the first of a row in CSV."""
UNITS = {
    "scored_records": "records",
    "scored_values": "values",
    "request_depth": "levels",
    "uploaded_models": "models",
    "uploaded_bytes": "bytes",
}


class RefusedError(Exception):
    """A rejected request: an HTTP status and the reason."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Bounds:
    """The limits of one server, by name."""

    def __init__(self, limits):
        self._limits = limits

    def check(self, name, used, what):
        """Raise `RefusedError` if `used` exceeds the limit `name`; `what` is the subject."""
        if used > self._limits[name]:
            raise RefusedError(
                400,
                f"{what} has {used} {UNITS[name]}, but the limit {name} is {self._limits[name]}: "
                f"reduce it, or start the platform with --limit {name}={used}",
            )

    def check_values(self, body):
        """Raise `RefusedError` for a body that would take too much memory, before it is parsed."""
        self.check("scored_values", sum(map(body.count, SEPARATORS)), "the request")

    def json(self, body):
        """Return the JSON object of a body."""
        self.check_values(body)
        try:
            document = json.loads(body)
        except ValueError as error:
            raise RefusedError(400, f"the body is not valid JSON: {error}") from error
        except RecursionError as error:
            most = self._limits["request_depth"]
            message = f"the request has more than {most} levels, the limit request_depth: nest it less"
            raise RefusedError(400, message) from error
        if not isinstance(document, dict):
            raise RefusedError(400, "the body must be an object")
        self.check("request_depth", depth(document), "the request")
        return document

    def rows(self, table):
        """Return the rows of a CSV reader, of which the first has the names of the columns."""
        found = []
        columns = len(table.fieldnames or ())
        for row in table:
            found.append(row)
            self.check("scored_records", len(found), "the table")
            self.check("scored_values", columns * len(found), "the table")
        return found


def depth(document):
    """Return how many lists and objects are around the innermost value."""
    levels, level = 0, [document]
    while level := [one for one in level if isinstance(one, dict | list)]:
        levels += 1
        level = [child for one in level for child in (one.values() if isinstance(one, dict) else one)]
    return levels


def quoted(value):
    """Return a value of a caller for a message, shortened."""
    return reprlib.repr(value)
