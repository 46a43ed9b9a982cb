"""apply, diff, edit, delete and history, on a server of this process."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client import CollectorRegistry

from klever.api.kinds import SERVING
from klever.artifacts.metadata import ModelMetadata
from klever.auth.token import token_access
from klever.catalog.catalogue import Version
from klever.cmd.main import main
from klever.controllers.pushes import ensure_namespace
from klever.controllers.serving.history import RevisionHistory
from klever.oci.digest import Digest
from klever.oci.reference import Reference
from klever.server.app import make_server
from klever.server.authored import AuthoredObjects
from klever.server.binding import Binder
from klever.server.calls import RpcMetrics
from klever.server.services import SERVINGS, make_services
from klever.server.servings import ServingHandlers
from klever.store import Key
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission
from klever.v1alpha1.serving_pb2 import Serving

KEY = Key("default", "digits")


class Done(NamedTuple):
    """What a command printed, and its exit code."""

    out: str
    err: str
    code: int


Klever = Callable[..., Awaitable[Done]]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission())
    await ensure_namespace(store, KEY.namespace)
    yield store
    await store.close()


@pytest.fixture
async def address(store: SqliteStore) -> AsyncIterator[str]:
    binder = Binder(token_access("secret", anonymous=True), RpcMetrics(CollectorRegistry()))
    nothing: Any = None  # nobody is asked for what runs
    objects = AuthoredObjects[Serving](store, SERVING)
    services = make_services([objects], {SERVINGS: ServingHandlers(objects, nothing, nothing)})
    server = await make_server(binder, services)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    binder.end_streams()
    await server.stop(None)


@pytest.fixture
def klever(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Klever:
    """Runs the command line beside the server's loop."""
    monkeypatch.setenv("HOME", str(tmp_path))

    async def run(*arguments: str) -> Done:
        flags = ("--server", f"http://{address}", "--token", "secret")
        code = await asyncio.to_thread(main, (*arguments, *flags))
        return Done(*capsys.readouterr(), code)

    return run


@pytest.fixture
def declare(tmp_path: Path) -> Callable[..., str]:
    """Writes a file with one Serving, and returns its path."""

    def write(model: str = "team/digits:v1", **predictor: Any) -> str:
        path = tmp_path / "serving.yaml"
        spec = {"predictors": [{"name": "main", "model": model, **predictor}]}
        obj = {"apiVersion": SERVING.api_version, "kind": SERVING.kind, "metadata": {"name": KEY.name}, "spec": spec}
        path.write_text(json.dumps(obj))
        return str(path)

    return write


async def test_an_apply_says_what_it_did(klever: Klever, declare: Callable[..., str], store: SqliteStore) -> None:
    assert (await klever("apply", "-f", declare())).out == "serving digits created\n"
    await store.patch(SERVING, KEY, {"status": {"phase": "Ready"}}, subresource="status")
    assert (await klever("apply", "-f", declare())).out == "serving digits unchanged\n"
    assert (await klever("apply", "-f", declare(replicas=2))).out == "serving digits configured\n"


async def test_a_dry_run_says_what_an_apply_would_do_and_writes_nothing(
    klever: Klever, declare: Callable[..., str], store: SqliteStore
) -> None:
    assert (await klever("apply", "-f", declare(), "--dry-run")).out == "serving digits created (server dry run)\n"
    assert not (await store.list(SERVING)).items
    await klever("apply", "-f", declare())
    before = await store.get(SERVING, KEY)
    assert (await klever("apply", "-f", declare(), "--dry-run")).out == "serving digits unchanged (server dry run)\n"
    changed = await klever("apply", "-f", declare(replicas=2), "--dry-run=server")
    assert changed.out == "serving digits configured (server dry run)\n"
    wrong = await klever("apply", "-f", declare(replicas=-1), "--dry-run")
    assert (wrong.code, "spec.predictors[0].replicas" in wrong.err) == (6, True)
    assert await store.get(SERVING, KEY) == before


async def test_a_client_dry_run_asks_no_server(klever: Klever, declare: Callable[..., str]) -> None:
    nowhere = ("--dry-run=client", "--server", "127.0.0.1:1")
    assert (await klever("apply", "-f", declare(), *nowhere)).code == 0
    wrong = await klever("apply", "-f", declare("not a model"), *nowhere)
    assert (wrong.code, "spec.predictors[0].model" in wrong.err) == (6, True)


async def test_a_diff_shows_what_an_apply_would_change(klever: Klever, declare: Callable[..., str]) -> None:
    new = await klever("diff", "-f", declare())
    assert (new.code, "+  name: digits" in new.out.splitlines()) == (1, True)
    await klever("apply", "-f", declare())
    assert await klever("diff", "-f", declare()) == Done("", "", 0)
    changed = await klever("diff", "-f", declare("team/digits:v2"))
    assert changed.code == 1
    lines = [line for line in changed.out.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert lines == ["-    model: team/digits:v1", "+    model: team/digits:v2"]


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a script for sed the editor."""

    def use(script: str) -> None:
        monkeypatch.setenv("EDITOR", f"sed -i {script}")
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    return use


async def test_an_edit_changes_an_object(
    klever: Klever, declare: Callable[..., str], editor: Callable[[str], None], store: SqliteStore
) -> None:
    await klever("apply", "-f", declare())
    editor("s/digits:v1/digits:v2/")
    assert (await klever("edit", "serving/digits")).out == "serving digits configured\n"
    assert (await store.get(SERVING, KEY))["spec"]["predictors"][0]["model"] == "team/digits:v2"
    assert (await klever("edit", "serving", "digits")).out == "serving digits unchanged\n"


async def test_an_edit_that_is_not_valid_is_refused_and_kept(
    klever: Klever, declare: Callable[..., str], editor: Callable[[str], None], tmp_path: Path
) -> None:
    await klever("apply", "-f", declare())
    editor("'s/replicas: 1/replicas: -1/'")
    refused = await klever("edit", "serving/digits")
    assert (refused.code, "spec.replicas" in refused.err) == (6, True)
    assert "replicas: -1" in kept(tmp_path, refused)


def list_kept(directory: Path) -> list[Path]:
    return list(directory.glob("serving-digits-*.yaml"))


def kept(directory: Path, refused: Done) -> str:
    """Return what was edited: the error names the file."""
    (path,) = list_kept(directory)
    assert str(path) in refused.err
    return path.read_text()


async def test_a_missing_editor_is_an_error_that_says_what_to_set(
    klever: Klever, declare: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await klever("apply", "-f", declare())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("VISUAL", f"{os.devnull}/no-editor")
    failed = await klever("edit", "serving/digits")
    assert (failed.code, "set EDITOR" in failed.err) == (4, True)
    assert not list_kept(tmp_path)


async def test_a_deletion_reports_each_object(klever: Klever, declare: Callable[..., str]) -> None:
    await klever("apply", "-f", declare())
    done = await klever("delete", "serving", "nope", "digits", "neither")
    assert (done.code, done.out) == (3, "serving digits deleted\n")
    assert ["nope" in line for line in done.err.splitlines()] == [True, False]


async def test_an_apply_during_a_deletion_is_refused(
    klever: Klever, declare: Callable[..., str], store: SqliteStore
) -> None:
    await klever("apply", "-f", declare())
    await store.patch(SERVING, KEY, {"metadata": {"finalizers": ["example.com/held"]}})
    await store.delete(SERVING, KEY)
    for arguments in (("apply", "-f", declare(replicas=2)), ("apply", "-f", declare(), "--dry-run")):
        refused = await klever(*arguments)
        assert (refused.code, "is being deleted" in refused.err) == (4, True)


async def test_the_history_says_what_served_at_a_time(
    klever: Klever, declare: Callable[..., str], store: SqliteStore
) -> None:
    history = RevisionHistory(store)
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    for hours, tag in enumerate(("v1", "v2")):
        await klever("apply", "-f", declare(f"team/digits:{tag}"))
        digest = Digest.of(tag.encode())
        version = Version(Reference("team/digits", tag=tag), digest, digest, 1, ModelMetadata(), "ormb")
        serving = await store.get(SERVING, KEY)
        number = await history.record(serving, {"main": version}, noon + timedelta(hours=hours))
        await store.patch(SERVING, KEY, {"status": {"revision": number}}, subresource="status")

    async def served(at: str) -> list[str]:
        return [line.split()[0] for line in (await klever("history", "serving", "digits", "--at", at)).out.splitlines()]

    assert await served("2026-01-31T12:30:00.5Z") == ["REVISION", "1"]
    assert await served("2026-01-31T15:00:00+02:00") == ["REVISION", "2"]
    assert await served("0s") == ["REVISION", "2"]
    assert "no revision" in (await klever("history", "serving", "digits", "--at", "2026-01-31T11:59:59Z")).out
    wrong = await klever("history", "serving", "digits", "--at", "noon")
    assert (wrong.code, "10m" in wrong.err) == (6, True)
