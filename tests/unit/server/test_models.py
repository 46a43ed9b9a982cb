"""ModelService over a real registry, which holds more than models."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from klever.controllers.inspections import record_inspection
from klever.errors import ConflictError, FailedPreconditionError, InvalidError, NotFoundError
from klever.inspection import VERSION
from klever.oci.digest import Digest
from klever.registry.registry import Registry
from klever.server.models import ModelHandlers
from klever.store.sqlite import SqliteStore
from klever.tasks import report
from klever.v1alpha1 import model_service_pb2 as pb
from klever.v1alpha1.common_pb2 import WatchEvent
from tests.errors import because
from tests.unit.server.conftest import Author

REPORT = {
    "samples": ["random"],
    "tolerance": 1e-5,
    "outputs": {"Z": {"absolute": 0.5, "relative": 0}},
    "passed": True,
    "source": {"digest": "sha256:" + "0" * 64, "format": "ONNX"},
}


def version(model: str, version: str) -> Any:
    return pb.GetModelVersionRequest(project="team", model=model, version=version)


async def names(models: ModelHandlers, **request: Any) -> list[str]:
    found = await models.list_models(pb.ListModelsRequest(**request))
    return [f"{m.project}/{m.name}" for m in found.items]


async def test_models_are_listed_beside_what_is_none(models: ModelHandlers, author: Author) -> None:
    await author.push("team/digits:v1")
    await author.push("other/vision/resnet:v1")
    await author.push_image("team/base:v1")
    await author.push("team/gone:v1")
    await models.delete_model_version(pb.DeleteModelVersionRequest(project="team", model="gone", version="v1"))
    assert await names(models) == ["other/vision/resnet", "team/digits"]
    assert await names(models, project="team") == ["team/digits"]
    assert await names(models, filter="res") == ["other/vision/resnet"]
    for model_ in ("gone", "base", "never"):
        with pytest.raises(NotFoundError):
            await models.get_model(pb.GetModelRequest(project="team", model=model_))
    with pytest.raises(InvalidError, match="is a container image"):
        await models.get_model_version(version("base", "v1"))


async def test_pages_of_models(models: ModelHandlers, author: Author) -> None:
    for name in "abc":
        await author.push(f"team/{name}:v1")
    first = await models.list_models(pb.ListModelsRequest(page_size=2))
    rest = await models.list_models(pb.ListModelsRequest(page_size=2, page_token=first.next_page_token))
    assert [m.name for m in (*first.items, *rest.items)] == ["a", "b", "c"]
    assert not rest.next_page_token
    for wrong in ({"page_size": -1}, {"page_token": "²"}, {"order_by": "size"}):
        with pytest.raises(InvalidError):
            await models.list_models(pb.ListModelsRequest(**wrong))


async def test_a_page_of_versions_fits_into_a_message(
    models: ModelHandlers, author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tag in "abcde":
        await author.push(f"team/digits:{tag}")
        await author.push(f"team/{tag}:v1")
    await author.push_image("team/bb:v1")
    most = 2 * (await models.get_model(pb.GetModelRequest(project="team", model="digits"))).ByteSize()
    monkeypatch.setattr("klever.server.pages.MAX_PAGE_BYTES", most)

    async def pages(call: Any, request: Any, **fields: str) -> list[str]:
        found, token, first = [], "", True
        while token or first:
            page = await call(request(project="team", page_token=token, **fields))
            assert page.ByteSize() <= most + 100
            found += [getattr(item, "tag", "") or item.name for item in page.items]
            token, first = page.next_page_token, False
        return found

    assert await pages(models.list_models, pb.ListModelsRequest) == ["a", "b", "c", "d", "digits", "e"]
    assert await pages(models.list_model_versions, pb.ListModelVersionsRequest, model="digits") == list("abcde")


async def test_versions_in_order_and_the_latest(models: ModelHandlers, author: Author) -> None:
    for tag, year in (("a", 2025), ("b", 2026), ("c", 2024)):
        await author.push(f"team/digits:{tag}", year)

    async def tags(**request: Any) -> list[str]:
        asked = pb.ListModelVersionsRequest(project="team", model="digits", **request)
        return [v.tag for v in (await models.list_model_versions(asked)).items]

    assert await tags() == ["a", "b", "c"]
    assert await tags(order_by="create_time") == ["c", "a", "b"]
    assert await tags(order_by="create_time desc") == ["b", "a", "c"]
    assert await tags(filter="b") == ["b"]
    found = await models.get_model(pb.GetModelRequest(project="team", model="digits"))
    assert (found.version_count, found.latest.tag) == (3, "b")
    assert found.latest.create_time.ToJsonString() == "2026-01-01T00:00:00Z"


async def test_a_tag_is_given_and_taken(models: ModelHandlers, author: Author) -> None:
    await author.push("team/digits:v1")
    await author.push("team/digits:v2", 2025)
    one, two = [await models.get_model_version(version("digits", tag)) for tag in ("v1", "v2")]
    assert one.content_digest == two.content_digest

    def tag(source: str, expected: str = "") -> Any:
        return pb.TagModelVersionRequest(
            project="team", model="digits", version=source, tag="prod", expected_digest=expected
        )

    assert (await models.tag_model_version(tag("v1"))).digest == one.digest
    with pytest.raises(ConflictError):
        await models.tag_model_version(tag("v2", expected=two.digest))
    assert (await models.tag_model_version(tag(two.digest, expected=one.digest))).tag == "prod"
    assert (await models.get_model_version(version("digits", "prod"))).digest == two.digest
    with pytest.raises(InvalidError, check=because("INVALID", "tag")):
        await models.tag_model_version(pb.TagModelVersionRequest(project="team", model="digits", version="v1", tag="/"))

    await models.delete_model_version(pb.DeleteModelVersionRequest(project="team", model="digits", version="v2"))
    with pytest.raises(NotFoundError):
        await models.get_model_version(version("digits", "v2"))
    assert (await models.get_model_version(version("digits", two.digest))).digest == two.digest
    gone = pb.DeleteModelVersionRequest(project="team", model="digits", version=two.digest)
    await models.delete_model_version(gone)
    with pytest.raises(NotFoundError):
        await models.get_model_version(version("digits", "prod"))


async def test_a_model_below_another_name_is_reached_by_rest(models: ModelHandlers, author: Author) -> None:
    """A path holds no slash of a name: it is escaped, twice on the way here."""
    await author.push("team/vision/resnet:v1")
    for name in ("vision/resnet", "vision%2Fresnet", "vision%2fresnet"):
        assert (await models.get_model_version(version(name, "v1"))).model == "vision/resnet"


async def test_projects(models: ModelHandlers, author: Author) -> None:
    await author.push("team/digits:v1")
    made = await models.create_project(pb.CreateProjectRequest(project=pb.Project(name="vision")))
    assert (made.name, made.model_count) == ("vision", 0)
    listed = await models.list_projects(pb.ListProjectsRequest())
    assert [(p.name, p.model_count) for p in listed.items] == [("team", 1), ("vision", 0)]
    assert (await models.get_project(pb.GetProjectRequest(name="team"))).model_count == 1
    assert [p.name for p in (await models.list_projects(pb.ListProjectsRequest(filter="vis"))).items] == ["vision"]
    with pytest.raises(NotFoundError):
        await models.get_project(pb.GetProjectRequest(name="nobody"))


async def test_a_project_allows_code_while_it_is_told_so(models: ModelHandlers) -> None:
    async def update(allow: bool, *paths: str, name: str = "team", other: str = "") -> pb.Project:
        request = pb.UpdateProjectRequest(name=name, project=pb.Project(name=other, allow_code=allow))
        request.update_mask.paths.extend(paths)
        return await models.update_project(request)

    assert (await update(True, "allow_code")).allow_code
    assert (await models.get_project(pb.GetProjectRequest(name="team"))).allow_code
    assert not (await update(False, "allow_code")).allow_code
    assert [p.allow_code for p in (await models.list_projects(pb.ListProjectsRequest())).items] == [False]
    for wrong in ((), ("name",), ("allow_code", "name")):
        with pytest.raises(InvalidError):
            await update(True, *wrong)
    with pytest.raises(InvalidError):
        await update(True, "allow_code", name="")
    with pytest.raises(InvalidError):
        await update(True, "allow_code", other="free")
    with pytest.raises(NotFoundError):
        await update(True, "allow_code", name="nowhere")
    made = await models.create_project(pb.CreateProjectRequest(project=pb.Project(name="free", allow_code=True)))
    assert made.allow_code


async def test_a_version_shows_what_the_platform_found_in_it(
    models: ModelHandlers, author: Author, store: SqliteStore
) -> None:
    await author.push("team/digits:v1")
    before = await models.get_model_version(version("digits", "v1"))
    assert (before.trust, before.HasField("inspection")) == (pb.ModelVersion.TRUST_UNSPECIFIED, False)
    found = {"content": before.content_digest, "inspectorVersion": VERSION, "files": 3, "codeFormats": [before.format]}
    await record_inspection(store, found, datetime.now(UTC))
    listed = await models.list_model_versions(pb.ListModelVersionsRequest(project="team", model="digits"))
    model = await models.get_model(pb.GetModelRequest(project="team", model="digits"))
    for seen in (await models.get_model_version(version("digits", "v1")), *listed.items, model.latest):
        assert (seen.trust, seen.inspection.files) == (pb.ModelVersion.CODE, 3)


async def test_a_watch_tells_how_models_change(models: ModelHandlers, author: Author) -> None:
    await author.push("team/digits:v1")
    watch = models.watch_models(pb.WatchModelsRequest(filter="-hidden"))

    async def told() -> tuple[int, str, int]:
        async with asyncio.timeout(20):
            event = await anext(watch)
        return event.type, event.object.name, event.object.version_count

    assert await told() == (WatchEvent.ADDED, "digits", 1)
    assert await told() == (WatchEvent.BOOKMARK, "", 0)
    await author.push("team/hidden:v1")
    await author.push("team/digits:v2")
    assert await told() == (WatchEvent.MODIFIED, "digits", 2)
    await author.push("team/other:v1")
    assert await told() == (WatchEvent.ADDED, "other", 1)
    await models.delete_model(pb.DeleteModelRequest(project="team", model="other"))
    assert await told() == (WatchEvent.DELETED, "other", 1)
    await watch.aclose()


async def test_a_model_is_deleted_with_all_its_versions(models: ModelHandlers, author: Author) -> None:
    for tag in range(20):
        await author.push(f"team/digits:v{tag}")
    planned = await models.delete_model(pb.DeleteModelRequest(project="team", model="digits", validate_only=True))
    assert planned.version_count == 20
    deleted = await models.delete_model(pb.DeleteModelRequest(project="team", model="digits"))
    assert deleted.version_count == 20
    assert await names(models) == []
    with pytest.raises(NotFoundError):
        await models.delete_model(pb.DeleteModelRequest(project="team", model="digits"))


async def test_a_model_with_a_version_in_use_keeps_all_its_versions(
    models: ModelHandlers, author: Author, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def in_use(_repository: str, tags: Sequence[str], _digest: Digest | None, *, removed: bool) -> list[str]:
        return ["serving team/digits"] if "v3" in tags and not removed else []

    monkeypatch.setattr(registry, "_in_use", in_use)
    for tag in ("v1", "v2", "v3"):
        await author.push(f"team/digits:{tag}")
    for request in ({}, {"validate_only": True}):
        with pytest.raises(FailedPreconditionError, check=because("VERSION_IN_USE")):
            await models.delete_model(pb.DeleteModelRequest(project="team", model="digits", **request))
    used = pb.DeleteModelVersionRequest(project="team", model="digits", version="v3", validate_only=True)
    with pytest.raises(FailedPreconditionError, check=because("VERSION_IN_USE")):
        await models.delete_model_version(used)
    assert (await models.get_model(pb.GetModelRequest(project="team", model="digits"))).version_count == 3
    await models.delete_model(pb.DeleteModelRequest(project="team", model="digits", force=True))
    assert await names(models) == []


async def test_models_are_selected_by_what_they_are(models: ModelHandlers, author: Author) -> None:
    await author.push("team/digits:v1")
    await author.push("other/digits:v1")
    assert await names(models, filter="project = team") == ["team/digits"]
    assert await names(models, filter="latest.format != ONNX") == []
    assert await names(models, order_by="name desc") == ["team/digits", "other/digits"]
    with pytest.raises(InvalidError):
        await names(models, filter="size = 1")
    found = await models.list_model_versions(
        pb.ListModelVersionsRequest(project="team", model="digits", filter='reference = "team/*"')
    )
    assert [v.tag for v in found.items] == ["v1"]


async def test_an_empty_project_is_deleted(models: ModelHandlers, author: Author) -> None:
    made = await models.create_project(pb.CreateProjectRequest(project=pb.Project(name="empty"), request_id="r"))
    again = await models.create_project(pb.CreateProjectRequest(project=pb.Project(name="empty"), request_id="r"))
    assert again == made
    await author.push("default/digits:v1")
    for name in ("default", "none"):
        with pytest.raises((FailedPreconditionError, NotFoundError)):
            await models.delete_project(pb.DeleteProjectRequest(name=name))
    await models.delete_project(pb.DeleteProjectRequest(name="empty", validate_only=True))
    assert (await models.get_project(pb.GetProjectRequest(name="empty"))).name == "empty"
    assert (await models.delete_project(pb.DeleteProjectRequest(name="empty"))).name == "empty"


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b'{"passed": true, "samples": ["\\ud800"], "outputs": {}}', json.dumps(REPORT).encode()],
    ids=["damaged", "a list", "text that is not Unicode", "of another source"],
)
async def test_a_version_shows_no_report_that_is_not_one_of_its_conversion(
    models: ModelHandlers, author: Author, content: bytes
) -> None:
    source = await author.push_described("team/digits:v1", "author: one")
    label = f"labels: {{kleveross.io/converted-from: '{source.digest}'}}"
    converted = await author.push_described("team/digits:v1-onnx", label)
    await author.attach("team/digits", converted, report.TYPE, content, {})
    shown = await models.get_model_version(version("digits", "v1-onnx"))
    assert shown.conversion.source == f"team/digits@{source.digest}"
    assert not shown.conversion.outputs
    assert not shown.conversion.compared


async def test_a_version_shows_no_conversion_of_which_the_converted_version_says_nothing(
    models: ModelHandlers, author: Author
) -> None:
    source = await author.push_described("team/digits:v1", "author: one")
    other = await author.push_described("team/digits:v2", "author: two")
    for digest in (other.digest, "sha256:" + "0" * 64, "x"):
        names = {report.CONVERTED_TO: str(digest), report.TAG: "v2"}
        await author.attach("team/digits", source, report.RESULT_TYPE, b"{}", names)
    assert not (await models.get_model_version(version("digits", "v1"))).converted_to
