"""apply, diff, edit, delete and history, on a server of this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from klever.api.kinds import SERVING
from klever.artifacts.metadata import ModelMetadata
from klever.catalog.catalogue import Version
from klever.controllers.serving.history import RevisionHistory
from klever.oci.digest import Digest
from klever.oci.reference import Reference
from klever.store.sqlite import SqliteStore
from tests.unit.cli.commands.running import KEY, Done, Klever


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


SELDON = """
apiVersion: machinelearning.seldon.io/v1
kind: SeldonDeployment
metadata: {name: digits}
spec:
  predictors:
  - name: main
    graph: {name: main, modelUri: team/digits:v1, implementation: TRITON_SERVER}
"""


@pytest.fixture
def seldon(tmp_path: Path) -> Callable[[str], str]:
    """Writes a file and returns its name."""

    def write(content: str) -> str:
        path = tmp_path / "seldon.yaml"
        path.write_text(content)
        return str(path)

    return write


async def test_an_import_prints_a_serving_that_an_apply_takes(klever: Klever, seldon: Callable[[str], str]) -> None:
    printed = await klever("import", "-f", seldon(SELDON))
    assert printed.code == 0
    assert "spec.predictors[0].graph.implementation" in printed.err
    assert (await klever("apply", "-f", seldon(printed.out))).out == "serving digits created\n"


async def test_an_import_applies_on_request(klever: Klever, seldon: Callable[[str], str], store: SqliteStore) -> None:
    called = ("import", "-f", seldon(SELDON), "--apply")
    assert (await klever(*called, "--dry-run")).out == "serving digits created (server dry run)\n"
    assert (await klever(*called, "--dry-run=client")).out == "serving digits is valid (client dry run)\n"
    assert not (await store.list(SERVING)).items
    assert (await klever(*called)).out == "serving digits created\n"
    assert (await store.get(SERVING, KEY))["spec"]["predictors"][0]["model"] == "team/digits:v1"
    assert (await klever("import", "-f", seldon(SELDON), "--dry-run")).code == 6


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (SELDON.replace("team/digits:v1", "gs://bucket/digits"), "spec.predictors[0].graph.modelUri"),
        (SELDON.replace("name: digits", "name: Digits"), "metadata.name"),
        (SELDON + "  annotations: &a {b: c}\n  labels: *a\n", "alias"),
        ("kind: List\nitems: [{kind: Pod}]\n", "items[0]"),
        ("[" * 300, "levels"),
        ("", "no object"),
    ],
)
async def test_an_import_that_cannot_work_names_the_place(
    klever: Klever, seldon: Callable[[str], str], content: str, names: str
) -> None:
    refused = await klever("import", "-f", seldon(content), "--apply")
    assert (refused.code, names in refused.err, refused.out) == (6, True, "")


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


async def test_a_file_says_what_to_delete(klever: Klever, declare: Callable[..., str]) -> None:
    path = declare()
    await klever("apply", "-f", path)
    assert await klever("delete", "-f", path) == Done("serving digits deleted\n", "", 0)
    again = await klever("delete", "-f", path)
    assert (again.code, again.out, "digits" in again.err) == (3, "", True)


async def test_all_objects_of_a_kind_are_deleted(
    klever: Klever, declare: Callable[..., str], store: SqliteStore
) -> None:
    await klever("apply", "-f", declare())
    assert (await klever("delete", "modeljobs", "--all")).out == "no modeljobs to delete\n"
    assert (await klever("delete", "servings", "--all", "-n", "other")).out == "no servings to delete\n"
    assert (await klever("delete", "servings", "--all")).out == "serving digits deleted\n"
    assert not (await store.list(SERVING)).items


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name the objects"),
        (["--all"], "--all needs one kind"),
        (["servings", "digits", "--all"], "--all needs one kind"),
        (["serving/digits", "--all"], "--all needs one kind"),
        (["projects", "--all"], "--all does not delete projects"),
        (["servings"], "give --all for all of them"),
        (["servings", "-f", "x.yaml"], "give neither a kind nor --all"),
    ],
)
async def test_a_deletion_names_its_objects(
    klever: Klever, declare: Callable[..., str], store: SqliteStore, arguments: list[str], said: str
) -> None:
    await klever("apply", "-f", declare())
    refused = await klever("delete", *arguments)
    assert (refused.code, said in refused.err) == (6, True)
    assert (await store.list(SERVING)).items


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
