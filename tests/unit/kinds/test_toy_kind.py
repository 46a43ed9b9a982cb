"""A new kind is a proto, a controller and one row: it goes through API, store, controller and command line.

Nothing in klever/ knows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from klever.api.kinds import KINDS, Kind
from klever.auth.token import token_access
from klever.cmd.main import main
from klever.controllers.pushes import ensure_namespace
from klever.reconcile.runner import Controller, ReconcileMetrics, Result, object_source
from klever.server.app import make_server
from klever.server.binding import Binder
from klever.server.calls import RpcMetrics
from klever.server.objects import Objects
from klever.server.services import make_services
from klever.store import Key, Store
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission
from klever.v1alpha1.common_pb2 import WatchEvent
from tests.unit.kinds.conftest import ToyKind

TOKEN = [("authorization", "Bearer secret")]


class ToyController:
    """Says of each toy that it is ready."""

    def __init__(self, store: Store, kind: Kind) -> None:
        self._store = store
        self._kind = kind

    async def reconcile(self, key: Key) -> Result:
        toy = await self._store.get(self._kind, key)
        condition = {
            "type": "Ready", "status": "True", "reason": "Found", "message": "", "observedGeneration":
            toy["metadata"]["generation"], "lastTransitionTime": toy["metadata"]["creationTimestamp"],
        }  # fmt: skip
        await self._store.patch(self._kind, key, {"status": {"conditions": [condition]}}, subresource="status")
        return Result()


@pytest.fixture
async def store(toy: ToyKind, tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission(), kinds=(*KINDS, toy.row))
    await ensure_namespace(store, "default")
    yield store
    await store.close()


@pytest.fixture
async def address(toy: ToyKind, store: SqliteStore) -> AsyncIterator[str]:
    metrics = CollectorRegistry()
    binder = Binder(token_access("secret", anonymous=True), RpcMetrics(metrics))
    server = await make_server(binder, make_services([Objects[Message](store, toy.row)], {}))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sources = (object_source(store, toy.row),)
    controller = Controller("toy", ToyController(store, toy.row).reconcile, sources, ReconcileMetrics(metrics))
    running = asyncio.create_task(controller.run())
    yield f"127.0.0.1:{port}"
    running.cancel()
    binder.end_streams()
    await server.stop(None)


@pytest.fixture
async def toys(toy: ToyKind, address: str) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield toy.stubs.ToyServiceStub(channel)


def make(pb: Any, name: str, color: str = "red") -> Any:
    toy = pb.Toy()
    toy.metadata.name = name
    toy.spec.color = color
    return toy


async def test_the_api_serves_it(toy: ToyKind, toys: Any) -> None:
    pb: Any = toy.messages
    created = await toys.CreateToy(pb.CreateToyRequest(toy=make(pb, "car")), metadata=TOKEN)
    assert (created.kind, created.metadata.namespace, created.spec.wheels) == ("Toy", "default", 4)
    applied = await toys.ApplyToy(pb.ApplyToyRequest(name="car", toy=make(pb, "car", "blue")), metadata=TOKEN)
    assert applied.spec.color == "blue"
    mask = FieldMask(paths=["spec.color"])
    request = pb.UpdateToyRequest(name="car", toy=make(pb, "car", "green"), update_mask=mask)
    assert (await toys.UpdateToy(request, metadata=TOKEN)).spec.color == "green"
    await toys.CreateToy(pb.CreateToyRequest(toy=make(pb, "train")), metadata=TOKEN)
    listed = await toys.ListToys(pb.ListToysRequest(filter="spec.color = green"))
    assert [item.metadata.name for item in listed.items] == ["car"]
    assert (await toys.GetToy(pb.GetToyRequest(name="train"))).spec.color == "red"
    assert not (await toys.ListEvents(pb.ToyServiceListEventsRequest())).items
    await toys.DeleteToy(pb.DeleteToyRequest(name="car"), metadata=TOKEN)
    names = [item.metadata.name for item in (await toys.ListToys(pb.ListToysRequest())).items]
    assert names == ["train"]


async def test_its_schema_and_its_rights_hold(toy: ToyKind, toys: Any) -> None:
    pb: Any = toy.messages
    for sent, metadata, code in (
        (make(pb, "car", ""), TOKEN, grpc.StatusCode.INVALID_ARGUMENT),
        (make(pb, "car"), None, grpc.StatusCode.UNAUTHENTICATED),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await toys.CreateToy(pb.CreateToyRequest(toy=sent), metadata=metadata)
        assert caught.value.code() is code


async def test_a_watch_tells_what_its_controller_does(toy: ToyKind, toys: Any) -> None:
    pb: Any = toy.messages
    watch = toys.WatchToys(pb.WatchToysRequest(bookmarks=True))
    assert (await watch.read()).type == WatchEvent.BOOKMARK
    await toys.CreateToy(pb.CreateToyRequest(toy=make(pb, "car")), metadata=TOKEN)
    told = [await watch.read(), await watch.read()]
    assert [event.type for event in told] == [WatchEvent.ADDED, WatchEvent.MODIFIED]
    assert [condition.status for condition in told[1].object.status.conditions] == ["True"]
    watch.cancel()


@pytest.fixture
def klever(
    toy: ToyKind, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Runs the command line beside the server's loop, and returns what it printed."""
    monkeypatch.setenv("HOME", str(tmp_path))

    async def run(*arguments: str) -> str:
        flags = ("--server", f"http://{address}", "--token", "secret")
        assert await asyncio.to_thread(main, (*arguments, *flags), [toy.row]) == 0
        return capsys.readouterr().out

    return run


async def test_the_command_line_knows_it(klever: Any, tmp_path: Path) -> None:
    file = tmp_path / "toy.yaml"
    file.write_text("{apiVersion: kleveross.io/v1alpha1, kind: Toy, metadata: {name: car}, spec: {color: red}}")
    assert await klever("apply", "-f", str(file)) == "toy car created\n"
    await klever("wait", "toy", "car", "--for=condition=Ready")
    header, row = (line.split() for line in (await klever("get", "toys")).splitlines())
    assert header == ["NAME", "COLOR", "READY", "AGE"]
    assert row[:3] == ["car", "red", "True"]
    header, row = (line.split() for line in (await klever("get", "ty", "car", "-o", "wide")).splitlines())
    assert (header[-1], row[-1]) == ("WHEELS", "4")
    assert "color: red" in await klever("describe", "toy", "car")
    await klever("delete", "toy", "car")
    assert await klever("get", "toys") == "no toys in default: -A lists those of all projects\n"
