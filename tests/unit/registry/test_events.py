"""What a listener is told, when, and how often."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from klever.oci import mediatypes
from klever.oci.digest import Digest
from klever.registry import events
from klever.registry.events import DeleteEvent, Event, PushEvent
from tests.unit.registry.client import Client, manifest, serving

CONFIG, LAYER = b"{}", b"layer"
MANIFEST = manifest(CONFIG, LAYER)
DIGEST = Digest.of(MANIFEST)


class Told:
    """A listener. Before it takes an event it calls `before` with how often it was told so far."""

    def __init__(self, before: Callable[[int], object] = lambda count: None) -> None:
        self.events: list[Event] = []
        self.calls = 0
        self._before = before
        self._taken = asyncio.Event()

    async def __call__(self, event: Event) -> None:
        self.calls += 1
        result = self._before(self.calls)
        if asyncio.iscoroutine(result):
            await result
        self.events.append(event)
        self._taken.set()

    async def wait_for(self, count: int) -> list[Event]:
        async with asyncio.timeout(20):
            while len(self.events) < count:
                self._taken.clear()
                await self._taken.wait()
        return self.events


def tags(told: list[Event]) -> list[str]:
    return [event.tag for event in told]


def fail_first(times: int) -> Callable[[int], object]:
    def fail(count: int) -> None:
        if count <= times:
            raise RuntimeError(f"failure {count}")

    return fail


async def push_tags(client: Client, *tags: str) -> None:
    for tag in tags:
        await client.push("a/b", tag, CONFIG, LAYER)


async def test_every_push_and_delete_is_told_in_order(tmp_path: Path) -> None:
    told = Told()
    async with serving(tmp_path / "registry", listener=told) as served:
        client = served.client
        await push_tags(client, "v1")
        await client.put_manifest("a/b", DIGEST, MANIFEST, Authorization="Basic bWU6c2VjcmV0")  # me:secret
        await client.ask("DELETE", "/v2/a/b/manifests/v1")
        await client.ask("DELETE", f"/v2/a/b/manifests/{DIGEST}")
        pushed = PushEvent(
            repository="a/b",
            tag="v1",
            digest=DIGEST,
            media_type=mediatypes.IMAGE_MANIFEST,
            config_media_type=mediatypes.IMAGE_CONFIG,
            size=len(MANIFEST) + len(CONFIG) + len(LAYER),
            actor="",
        )
        by_digest = PushEvent("a/b", "", DIGEST, pushed.media_type, pushed.config_media_type, pushed.size, actor="me")
        deleted = [DeleteEvent("a/b", "v1", DIGEST, ""), DeleteEvent("a/b", "", DIGEST, "")]
        assert await told.wait_for(4) == [pushed, by_digest, *deleted]


async def test_a_refused_push_makes_no_event(tmp_path: Path) -> None:
    told = Told()
    async with serving(tmp_path / "registry", listener=told) as served:
        client = served.client
        assert (await client.put_manifest("a/b", "v1", MANIFEST)).status == 400
        assert (await client.ask("DELETE", "/v2/a/b/manifests/v1")).status == 404
        assert (await client.anonymous().put_manifest("a/b", "v1", MANIFEST)).status == 401
        await push_tags(client, "v2")
        assert (await client.put_manifest("a/b", "v2", MANIFEST, If_None_Match="*")).status == 412
        await push_tags(client, "v3")
        assert tags(await told.wait_for(2)) == ["v2", "v3"]


async def test_a_reported_push_is_durable(tmp_path: Path) -> None:
    told, committed = Told(), list[str]()

    async def listener(event: Event) -> None:
        database = apsw.Connection(str(tmp_path / "registry/registry.db"), flags=apsw.SQLITE_OPEN_READONLY)
        committed.extend(tag for (tag,) in database.execute("SELECT tag FROM tags WHERE digest = ?", (event.digest,)))
        database.close()
        await told(event)

    async with serving(tmp_path / "registry", listener=listener) as served:
        await push_tags(served.client, "v1")
        await told.wait_for(1)
    assert committed == ["v1"]


async def test_a_listener_that_fails_is_told_again(tmp_path: Path) -> None:
    told = Told(before=fail_first(1))
    async with serving(tmp_path / "registry", listener=told) as served:
        await push_tags(served.client, "v1", "v2")
        assert tags(await told.wait_for(2)) == ["v1", "v2"]
        assert told.calls == 3


async def test_a_listener_that_hangs_is_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_DEADLINE", 0.2)

    async def hang(count: int) -> None:
        if count == 1:
            await asyncio.Event().wait()

    told = Told(before=hang)
    async with serving(tmp_path / "registry", listener=told) as served:
        await push_tags(served.client, "v1", "v2")
        assert tags(await told.wait_for(2)) == ["v1", "v2"]


@pytest.mark.parametrize(("failures", "left"), [(4, ["v1", "v2"]), (5, ["v2"])])
async def test_an_event_is_given_up_after_five_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failures: int, left: list[str]
) -> None:
    monkeypatch.setattr(events, "_PAUSES", (0.0,) * 4)
    told = Told(before=fail_first(failures))
    async with serving(tmp_path / "registry", listener=told) as served:
        await push_tags(served.client, "v1", "v2")
        assert tags(await told.wait_for(len(left))) == left
    lost = [record.message for record in caplog.records if record.message.startswith("lost registry event")]
    assert len(lost) == 2 - len(left)


async def test_events_beyond_the_queue_are_lost_and_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(events, "_QUEUE", 2)
    go_on = asyncio.Event()
    told = Told(before=lambda count: go_on.wait())
    with caplog.at_level(logging.WARNING):
        async with serving(tmp_path / "registry", listener=told) as served:
            await push_tags(served.client, "v1", "v2", "v3", "v4", "v5")  # none waits for the listener
            go_on.set()
            assert tags(await told.wait_for(3)) == ["v1", "v2", "v3"]
            await push_tags(served.client, "v6")
            assert tags(await told.wait_for(4)) == ["v1", "v2", "v3", "v6"]
    assert sum("too many registry events are waiting: lost" in record.message for record in caplog.records) == 2


async def test_a_registry_that_closes_tells_what_waits(tmp_path: Path) -> None:
    go_on = asyncio.Event()
    told = Told(before=lambda count: go_on.wait())
    async with serving(tmp_path / "registry", listener=told) as served:
        await push_tags(served.client, "v1", "v2", "v3")
        asyncio.get_running_loop().call_later(0.1, go_on.set)
    assert tags(told.events) == ["v1", "v2", "v3"]
