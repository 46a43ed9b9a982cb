"""get, events and version, on a server of this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from google.protobuf.timestamp_pb2 import Timestamp

from klever import __version__
from klever.api.kinds import MODEL_JOB, SERVING
from klever.cli.commands.stored import StoredKind
from klever.controllers.pushes import ensure_namespace
from klever.errors import UnavailableError
from klever.store import Key
from klever.store.sqlite import SqliteStore
from klever.v1alpha1.common_pb2 import WatchEvent
from klever.v1alpha1.meta_pb2 import Event, ObjectMeta, ObjectReference
from klever.v1alpha1.serving_pb2 import Serving
from klever.v1alpha1.serving_service_pb2 import WatchServingsResponse
from tests.unit.cli.commands.running import Klever

Golden = Callable[[str, str], None]

DIGEST = f"sha256:{'2' * 64}"
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Serving",
    "message": "every predictor answers",
    "observedGeneration": 1,
}


def serving(name: str, namespace: str = "default", **labels: str) -> Any:
    spec = {"predictors": [{"name": "main", "model": "team/digits:v1"}]}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": SERVING.api_version, "kind": SERVING.kind, "metadata": metadata, "spec": spec}


def job(name: str) -> Any:
    spec = {"model": "team/digits:v1", "extraction": {"format": "ONNX"}}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": MODEL_JOB.api_version, "kind": MODEL_JOB.kind, "metadata": metadata, "spec": spec}


@pytest.fixture(autouse=True)
async def objects(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two Servings, one ModelJob, and a Serving of another project. Each is 5 s old."""
    for module in ("resources", "catalogue"):
        monkeypatch.setattr(f"klever.cli.commands.{module}.age", lambda _created: "5s")
    await ensure_namespace(store, "team")
    for obj in (serving("digits", stage="prod"), serving("faces"), serving("other", "team")):
        await store.create(SERVING, obj)
    status = {
        "phase": "Ready",
        "replicas": 1,
        "readyReplicas": 1,
        "trafficSummary": "main=100",
        "url": "http://127.0.0.1:8080/seldon/default/digits",
        "conditions": [READY | {"lastTransitionTime": "2026-01-31T12:00:00Z"}],
        "predictors": [{"name": "main", "digest": DIGEST, "trust": "DATA"}],
    }
    await store.patch(SERVING, Key("default", "digits"), {"status": status}, subresource="status")
    await store.create(MODEL_JOB, job("extract"))


@pytest.mark.parametrize(
    ("golden_name", "arguments"),
    [
        ("servings", ["servings"]),
        ("servings-wide", ["servings", "-o", "wide"]),
        ("servings-labels", ["servings", "--show-labels"]),
        ("servings-all", ["servings", "-A"]),
        ("serving-selected", ["servings", "-l", "stage=prod"]),
        ("servings-unmatched", ["servings", "-l", "stage=none"]),
        ("serving-named", ["servings", "faces", "digits"]),
        ("several-kinds", ["serving/faces", "modeljob/extract", "serving/digits"]),
        ("names", ["serving/faces", "modeljob/extract", "-o", "name"]),
        ("models-here", ["models"]),
        ("models-wide", ["models", "-n", "team", "-o", "wide"]),
        ("versions", ["versions", "team/digits"]),
        ("versions-wide", ["versions", "-A", "-o", "wide", "--show-labels"]),
        ("version-names", ["versions", "-A", "-o", "name"]),
    ],
)
async def test_tables_are_as_users_know_them(
    klever: Klever, golden: Golden, golden_name: str, arguments: list[str]
) -> None:
    done = await klever("get", *arguments)
    assert (done.code, done.err) == (0, "")
    golden(f"cli/{golden_name}.txt", done.out)


async def test_a_description_of_a_version_has_its_trust_class(klever: Klever, golden: Golden) -> None:
    golden("cli/describe-version.txt", (await klever("describe", "version/team/digits:v1")).out)


async def test_models_are_those_of_the_default_project(klever: Klever, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await klever("get", "models", "-o", "name")).out == ""
    monkeypatch.setenv("KLEVER_NAMESPACE", "team")
    assert (await klever("get", "models", "-o", "name")).out == "model/team/digits\n"
    assert (await klever("get", "versions", "-o", "name")).out == "version/team/digits:v1\n"


async def test_a_jsonpath_template_picks_fields(klever: Klever) -> None:
    one = await klever("get", "serving", "digits", "-o", "jsonpath={.status.url}")
    assert one.out == "http://127.0.0.1:8080/seldon/default/digits"
    many = await klever("get", "servings", "-o", r'jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}')
    assert many.out == "digits\nfaces\n"
    described = await klever("describe", "version/team/digits:v1", "-o", "jsonpath={.trust}")
    assert (described.out, described.code) == ("DATA", 0)
    wrong = await klever("get", "servings", "-o", "jsonpath={.a")
    assert (wrong.code, wrong.out) == (6, "")


async def test_several_objects_are_a_list_and_what_is_missing_is_told(klever: Klever) -> None:
    done = await klever("get", "serving/nope", "serving/digits", "modeljob/extract", "-o", "json")
    assert [item["metadata"]["name"] for item in json.loads(done.out)["items"]] == ["digits", "extract"]
    assert (done.code, "nope" in done.err, len(done.err.splitlines())) == (3, True, 1)
    one = await klever("get", "serving/digits", "-o", "yaml")
    assert yaml.safe_load(one.out)["kind"] == "Serving"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serving/digits", "faces"], "expected KIND/NAME"),
        (["serving/"], "expected KIND/NAME"),
        (["serving", "digits", "-A"], "give no names"),
        (["serving", "digits", "-l", "a=b"], "give no names"),
        (["serving/digits", "serving/faces", "-w"], "one object, or all objects of one kind"),
        (["versions", "-w"], "do not support watches; these do: modeljobs, servings, models"),
        (["projects", "--show-labels"], "do not support labels; these do: modeljobs, servings, versions"),
    ],
)
async def test_arguments_that_do_not_fit_are_invalid(klever: Klever, arguments: list[str], said: str) -> None:
    done = await klever("get", *arguments)
    assert (done.code, done.out, said in done.err) == (6, "", True)


async def test_a_watch_has_a_header(klever: Klever, monkeypatch: pytest.MonkeyPatch, golden: Golden) -> None:
    names = (WatchEvent.ADDED, "digits"), (WatchEvent.MODIFIED, "a-longer-name")
    events = [
        WatchServingsResponse(type=type_, object=Serving(metadata=ObjectMeta(name=name))) for type_, name in names
    ]
    monkeypatch.setattr(StoredKind, "watch", lambda *_arguments: iter(events))
    golden("cli/servings-watch.txt", (await klever("get", "servings", "-w")).out)
    assert (await klever("get", "servings", "-w", "-o", "name")).out == "serving/digits\nserving/a-longer-name\n"


async def test_the_versions_of_client_and_server(klever: Klever) -> None:
    assert (await klever("version")).out == f"client: klever {__version__}\nserver: klever 1.2.3 (API v1alpha1)\n"
    assert json.loads((await klever("version", "-o", "json")).out)["server"]["features"] == ["store.sqlite"]
    assert (await klever("version", "-o", "jsonpath={.client.version}", "--client")).out == __version__
    away = await klever("version", "--server", "127.0.0.1:1")
    assert (away.code, away.out) == (7, f"client: klever {__version__}\n")


def event(reason: str, count: int = 1) -> Any:
    about = ObjectReference(kind="Serving", namespace="default", name="digits")
    return Event(
        metadata=ObjectMeta(uid=reason), reason=reason, message="it happened", type="Normal", count=count,
        involved_object=about, last_timestamp=Timestamp(seconds=count),
    )  # fmt: skip


async def test_a_watch_of_events_prints_each_once(
    klever: Klever, monkeypatch: pytest.MonkeyPatch, golden: Golden
) -> None:
    pages = [[event("Deploying")], [event("Deploying")], [event("Deploying", 2), event("Ready", 2)]]

    def listed(*_arguments: Any) -> list[Any]:
        if not pages:
            raise UnavailableError("the test is over")
        return pages.pop(0)

    monkeypatch.setattr("klever.cli.commands.events.list_events", listed)
    monkeypatch.setattr("klever.cli.commands.events._PERIOD_S", 0)
    monkeypatch.setattr("klever.cli.commands.events.age", lambda _time: "5s")
    golden("cli/events-watch.txt", (await klever("events", "serving/digits", "-w")).out)
