"""A conversion from end to end: pull, a toy converter in the Python of its own environment, push."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

import klever
from klever.api.kinds import MODEL_JOB, Object
from klever.artifacts import model
from klever.auth.token import token_access
from klever.catalog.embedded import EmbeddedCatalogue, Pushes
from klever.catalog.oci import OciCatalogue
from klever.cmd.programs import bubblewraps
from klever.cmd.provisions import EmbeddedRegistry, Provisions
from klever.controllers.modeljob import ModelJobReconciler
from klever.controllers.pushes import ensure_namespace
from klever.environments import EnvironmentManager
from klever.environments.table import Environment
from klever.executors import Task
from klever.executors.local import LocalExecutor, Provision
from klever.limits import DEFAULTS
from klever.oci.client import RegistryClient
from klever.oci.layout import Layout
from klever.oci.manifest import Manifest
from klever.oci.reference import Reference
from klever.oci.registries import Credentials, Endpoint, Registries
from klever.process import Level, ProcessManager
from klever.process.sandbox.choose import choose
from klever.registry.app import application
from klever.registry.metrics import Metrics
from klever.registry.registry import Registry
from klever.registry.server import RegistryServer
from klever.server.conversions import add_conversions
from klever.store import Key
from klever.store.events import EventRecorder
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission
from klever.tasks import report
from klever.v1alpha1 import model_service_pb2 as pb
from tests.unit.tasks.toy import Doubler

KEY = Key("team", "convert")
SOURCE, TARGET = (Reference.parse(f"team/adder:{tag}") for tag in ("v1", "v2"))
ONNX = Path(__file__).parents[2] / "data" / "onnx"
ROOT = str(Path(klever.__file__).parents[1])
PROGRAM = f"import sys; sys.path.insert(0, {ROOT!r}); from klever.cmd.task import main; sys.exit(main())"


@dataclass
class World:
    store: SqliteStore
    executor: LocalExecutor
    registry: Registry
    socket: Path
    root: Path

    async def convert(self, **env: str) -> Object:
        """Run a job with these variables; returns it when it has ended."""
        variables = {"INPUTS": str(self.socket), **env}
        await self.store.create(MODEL_JOB, {
            "apiVersion": MODEL_JOB.api_version,
            "kind": MODEL_JOB.kind,
            "metadata": {"namespace": KEY.namespace, "name": KEY.name},
            "spec": {
                "model": str(SOURCE),
                "desiredTag": str(TARGET),
                "conversion": {"mmdnn": {"from": "ONNX", "to": "ONNX"}},
                "env": [{"name": name, "value": value} for name, value in variables.items()],
            },
        })  # fmt: skip
        reconciler = ModelJobReconciler(self.store, self.executor, EventRecorder(self.store, "test"))
        await reconciler.reconcile(KEY)
        changes = self.executor.watch()
        async with asyncio.timeout(120):
            while True:
                await reconciler.reconcile(KEY)
                job = await self.store.get(MODEL_JOB, KEY)
                if job["status"].get("completionTime"):
                    return job
                await anext(changes)

    async def log(self, job: Object) -> list[str]:
        return [line async for line in self.executor.logs(job["metadata"]["uid"])]

    def client(self) -> RegistryClient:
        return RegistryClient(Endpoint("", f"http+unix://{self.socket}", Credentials(token="secret")))

    def push(self) -> None:
        directory = self.root / "source"
        (directory / "model").mkdir(parents=True)
        shutil.copy(next(ONNX.rglob("*.onnx")), directory / "model" / "m.onnx")
        (directory / "ormbfile.yaml").write_text("format: ONNX\nauthor: somebody\ndescription: adds\n")
        layout = Layout(self.root / "layout")
        model.save(directory, SOURCE, layout, created=datetime.now(UTC))
        with self.client() as client:
            model.push(SOURCE, layout, client)

    def report(self, digest: str) -> Any:
        """Return the report that is the one layer of an artifact."""
        layout = Layout(self.root / "reports")
        with self.client() as client:
            fetched = client.get_manifest(TARGET.repository, digest)
            (layer,) = Manifest.parse(fetched.content).layers
            with layout.writer(expected=layer.digest, size=layer.size) as writer:
                client.get_blob(TARGET.repository, layer, writer)
                writer.commit()
        return json.loads(layout.read(layer))

    def pulled(self) -> model.SavedModel:
        with self.client() as client:
            return model.pull(TARGET, Layout(self.root / "pulled"), client)


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> EnvironmentManager:
    """The toy's environment, which the first conversion makes for all of them."""
    root = tmp_path_factory.mktemp("environments")
    lock = root / "toy.txt"
    lock.write_text("# nothing but Python\n")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return EnvironmentManager(root, {"toy": Environment("toy", "a test", (python,), lock)})


@pytest.fixture
def level() -> Level | None:
    """The level of the sandbox; None for the best of this machine."""
    return None


@pytest.fixture
async def world(
    tmp_path: Path, level: Level | None, environments: EnvironmentManager, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setattr("klever.converters.table.CONVERTERS", {("ONNX", "ONNX"): Doubler()})
    confinement = choose(bubblewraps(), level or Level.FULL)
    if level and confinement.level is not level:
        pytest.skip(f"this machine does not offer the level {level}")
    registry = await Registry.open(tmp_path / "registry")
    app = application(registry, token_access("secret", anonymous=False), Metrics(CollectorRegistry()))
    server = RegistryServer(registry, app)
    (tmp_path / "sockets").mkdir()
    socket = Path(await server.start(tmp_path / "sockets" / "registry.sock", drain=0.1))
    store = await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission())
    await ensure_namespace(store, KEY.namespace)
    processes = ProcessManager(tmp_path / "processes", confinement=confinement)
    provisions = Provisions(EmbeddedRegistry(socket, "secret"), {}, DEFAULTS)

    def provide(task: Task) -> Provision:  # the source, if that is what runs here, is found by listing its directory
        provision = provisions(task)
        return replace(provision, read=(*provision.read, Path(ROOT)))

    command = (sys.executable, "-I", "-c", PROGRAM)
    env = {"PATH": os.defpath}
    async with LocalExecutor(processes, command, env=env, environments=environments, provide=provide) as executor:
        world = World(store, executor, registry, socket, tmp_path)
        await asyncio.to_thread(world.push)
        yield world
        for state in await executor.list():
            await executor.remove(state.uid)
    await store.close()
    await server.stop()
    await registry.close()


@pytest.mark.parametrize("level", [Level.FULL, Level.LANDLOCK])
async def test_a_model_is_pulled_converted_and_pushed_with_its_metadata_and_signature(
    world: World, environments: EnvironmentManager
) -> None:
    job = await world.convert()
    log = await world.log(job)
    assert job["status"]["phase"] == "Succeeded", (job["status"], log)
    pulled = await asyncio.to_thread(world.pulled)
    assert job["status"]["result"]["digest"] == str(pulled.manifest.digest)
    metadata = pulled.metadata
    assert (metadata.format, metadata.author, metadata.description) == ("ONNX", "somebody", "adds")
    assert metadata.files == ("model/converted.onnx",)
    assert metadata.signature is not None
    assert metadata.signature.inputs
    assert any(line.startswith(f"python {environments.root}/toy/") for line in log)
    assert not [line for line in log if line.startswith(("sees", "reaches"))]


async def test_the_differences_of_both_models_are_in_the_result_and_beside_the_new_version(world: World) -> None:
    job = await world.convert()
    assert "largest relative difference 0.25 (Z)" in job["status"]["result"]["report"]
    pulled = await asyncio.to_thread(world.pulled)
    (found,), _ = await world.registry.referrers(TARGET.repository, pulled.manifest.digest, artifact_type=report.TYPE)
    written = await asyncio.to_thread(world.report, str(found.digest))
    assert written["outputs"] == {"Z": {"absolute": 0.5, "relative": 0.25}}
    assert written["source"]["reference"] == str(SOURCE)


async def test_a_version_shows_its_source_and_the_versions_that_were_made_of_it(world: World) -> None:
    assert (await world.convert())["status"]["phase"] == "Succeeded"
    shown = {}
    remote = OciCatalogue(Registries({}), Layout(world.root / "metadata"))
    catalogue = EmbeddedCatalogue(world.registry, Pushes(), remote)
    for reference in (SOURCE, TARGET):
        version = await catalogue.resolve(reference)
        message = shown[reference] = pb.ModelVersion(digest=str(version.digest))
        await add_conversions(catalogue, version, message)
    source, target = shown[SOURCE], shown[TARGET]
    assert list(source.converted_to) == [f"{TARGET}@{target.digest}"]
    assert not source.HasField("conversion")
    conversion = target.conversion
    assert conversion.source == f"{SOURCE.repository}@{source.digest}"
    assert (conversion.source_format, conversion.target_format, conversion.compared) == ("ONNX", "ONNX", True)
    assert [(one.name, one.absolute, one.relative) for one in conversion.outputs] == [("Z", 0.5, 0.25)]
    assert not target.converted_to


async def test_a_report_that_the_program_did_not_write_as_agreed_fails_the_job(world: World) -> None:
    job = await world.convert(REPORT="[]")
    assert job["status"]["phase"] == "Failed"
    assert "report" in job["status"]["message"]


@pytest.mark.parametrize(("wish", "words"), [("nothing", "operator that is not known"), ("link", "directory")])
async def test_a_conversion_that_fails_says_why_and_pushes_nothing(world: World, wish: str, words: str) -> None:
    job = await world.convert(OUTPUTS=wish)
    assert job["status"]["phase"] == "Failed"
    assert words in job["status"]["message"]
    with world.client() as client:
        assert await asyncio.to_thread(client.tags, SOURCE.repository) == ["v1"]


async def test_a_job_that_its_converter_refuses_fails_at_once(world: World) -> None:
    job = await world.convert(INPUTS="")
    assert (job["status"]["phase"], job["status"]["conditions"][1]["reason"]) == ("Failed", "Invalid")
    assert "spec.env[INPUTS]" in job["status"]["message"]
