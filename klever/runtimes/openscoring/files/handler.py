"""HTTP: OpenScoring's REST API below /openscoring, the Open Inference Protocol below /v2."""

import csv
import gzip
import io
import json
import re
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

import inference
from bounds import RefusedError, quoted

MAX_BYTES = 64 << 20
SNIFFED = 4096
"""Characters of a table in which its separator is searched."""


class Handler(BaseHTTPRequestHandler):
    """Answers requests to the models of its server."""

    protocol_version = "HTTP/1.1"
    timeout = 60.0

    def answer(self):
        path = urlsplit(self.path).path
        try:
            models = self.server.models
            request = Request(self.headers, self.body(), models.bounds)
            status, content, headers = respond(models, self.command, path, request)
        except RefusedError as error:
            key = "error" if path.startswith("/v2") else "message"
            status, content, headers = as_json({key: str(error)}, error.status)
        except Exception as error:  # noqa: BLE001 - whatever a model raises is its answer
            status, content, headers = as_json({"message": f"{type(error).__name__}: {error}"}, 500)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = answer

    def body(self):
        size = self.headers.get("Content-Length", "0")
        if not size.isdecimal() or int(size) > MAX_BYTES:
            self.close_connection = True
            raise RefusedError(400, f"a request must have a Content-Length of at most {MAX_BYTES} bytes")
        content = self.rfile.read(int(size))
        return unzipped(content) if self.headers.get("Content-Encoding") == "gzip" else content

    def address_string(self):
        """Return an empty address, because a Unix socket has none."""
        return "client"

    def log_message(self, *_):
        """Do not log requests, because the gateway does."""


def respond(models, command, path, request):
    for method, pattern, act in ROUTES:
        if command == method and (match := re.fullmatch(pattern, path)):
            return act(models, *map(unquote, match.groups()), request)
    raise RefusedError(404, f"{command} {path} is not served")


def unzipped(content):
    try:
        with gzip.open(io.BytesIO(content)) as file:
            found = file.read(MAX_BYTES + 1)
    except (OSError, EOFError) as error:
        raise RefusedError(400, "the body must be in gzip format") from error
    if len(found) > MAX_BYTES:
        raise RefusedError(400, f"the body is larger than {MAX_BYTES} bytes")
    return found


class Request:
    def __init__(self, headers, body, bounds):
        self.headers = headers
        self.body = body
        self.bounds = bounds

    def json(self):
        return self.bounds.json(self.body)

    def document(self):
        """The PMML document: the body, or the part `pmml` of a form."""
        kind = self.headers.get("Content-Type", "")
        if not kind.startswith("multipart/form-data"):
            return self.body
        form = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + self.body)
        for part in form.get_payload() if form.is_multipart() else ():
            if part.get_param("name", header="content-disposition") == "pmml":
                return part.get_payload(decode=True)
        raise RefusedError(400, "the form must have a part named pmml")


def as_json(document, status=200):
    return status, json.dumps(document).encode(), {"Content-Type": "application/json"}


def list_models(models, _):
    return as_json({"responses": [models.get(name).describe() for name in models.ids()]})


def describe(models, name, _):
    return as_json(models.get(name).describe())


def show(models, name, _):
    return 200, models.get(name).document, {"Content-Type": "application/xml"}


def put(models, name, request):
    models.check_change(name)
    model, is_new = models.put(name, request.document())
    return as_json(model.describe(), 201 if is_new else 200)


def delete(models, name, _):
    models.check_change(name)
    models.delete(name)
    return as_json({"message": f"Model {name!r} is deleted"})


def evaluate(models, name, request):
    return as_json(evaluated(models.get(name), request.json()))


def evaluate_batch(models, name, request):
    """Answer each record separately, so that an error affects only one record."""
    document, model, responses = request.json(), models.get(name), []
    records = document.get("requests")
    if not isinstance(records, list):
        raise RefusedError(400, "requests must be a list")
    request.bounds.check("scored_records", len(records), "the batch")
    for record in records:
        try:
            responses.append(evaluated(model, record))
        except RefusedError as error:
            responses.append({"id": identity(record), "message": str(error)})
    return as_json({"id": identity(document), "responses": responses})


def evaluated(model, record):
    if not isinstance(record, dict) or not isinstance(record.get("arguments"), dict):
        raise RefusedError(400, "a request must be an object with arguments")
    (results,) = model.evaluate([record["arguments"]])
    return {"id": identity(record), "results": results}


def identity(record):
    """Return the id of a request, for its answer."""
    found = record.get("id") if isinstance(record, dict) else None
    if not isinstance(found, str | int | float | None):
        raise RefusedError(400, f"an id must be a text or a number, not {quoted(found)}")
    return found


def evaluate_csv(models, name, request):
    """Answer a table. An error in one row fails the whole table."""
    request.bounds.check_values(request.body)
    try:
        text = request.body.decode()
        dialect = csv.Sniffer().sniff(text[:SNIFFED].partition("\n")[0], ",;\t")
        rows = request.bounds.rows(csv.DictReader(io.StringIO(text), dialect=dialect))
    except (UnicodeDecodeError, csv.Error) as error:
        raise RefusedError(400, f"the body is not valid CSV: {error}") from error
    results = models.get(name).evaluate([{key: value for key, value in row.items() if value != ""} for row in rows])
    names = (["Id"] if rows and "Id" in rows[0] else []) + (list(results[0]) if results else [])
    answer = io.StringIO()
    writer = csv.DictWriter(answer, names, extrasaction="ignore")
    writer.writeheader()
    writer.writerows({**row, **result} for row, result in zip(rows, results, strict=True))
    return 200, answer.getvalue().encode(), {"Content-Type": "text/plain; charset=utf-8"}


def server(_models, _):
    return as_json({"name": "klever-openscoring", "version": "1", "extensions": []})


def live(_models, _):
    return as_json({"live": True})


def ready(models, name, _):
    models.get(name)
    return as_json({"name": name, "ready": True})


def metadata(models, name, _):
    return as_json(inference.metadata(models.get(name)))


def infer(models, name, request):
    """Answer in JSON, with the bytes of tensors behind it if the client wants them."""
    answer, content = inference.infer(models.get(name), request.body, request.headers.get(inference.LENGTH))
    status, head, headers = as_json(answer)
    if content:
        headers = {"Content-Type": "application/octet-stream", inference.LENGTH: str(len(head))}
    return status, head + content, headers


NAME = "([^/]+)"
SCORING = f"/openscoring/model/{NAME}"
INFERENCE = f"/v2/models/{NAME}(?:/versions/1)?"
ROUTES = (
    ("GET", "/openscoring/model", list_models),
    ("GET", SCORING, describe),
    ("PUT", SCORING, put),
    ("DELETE", SCORING, delete),
    ("GET", f"{SCORING}/pmml", show),
    ("POST", SCORING, evaluate),
    ("POST", f"{SCORING}/batch", evaluate_batch),
    ("POST", f"{SCORING}/csv", evaluate_csv),
    ("GET", "/v2/?", server),
    ("GET", "/v2/health/(?:live|ready)", live),
    ("GET", INFERENCE, metadata),
    ("GET", f"{INFERENCE}/ready", ready),
    ("POST", f"{INFERENCE}/infer", infer),
)
