"""Reflection: what clients without protos learn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2 as pb
from prometheus_client import CollectorRegistry

from klever.auth.token import token_access
from klever.server.app import make_server
from klever.server.binding import Binder
from klever.server.calls import RpcMetrics
from klever.server.reflecting import REFLECTION


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    server = await make_server(Binder(token_access("secret", anonymous=True), RpcMetrics(CollectorRegistry())), [])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


async def ask(channel: Any, service: str, **request: str) -> Any:
    call = channel.stream_stream(
        f"/{service}/ServerReflectionInfo",
        pb.ServerReflectionRequest.SerializeToString,
        pb.ServerReflectionResponse.FromString,
    )()
    await call.write(pb.ServerReflectionRequest(**request))
    answer = await call.read()
    await call.done_writing()
    return answer


@pytest.mark.parametrize("service", REFLECTION)
async def test_both_versions_tell_comments_and_names_in_json(channel: Any, service: str) -> None:
    listed = await ask(channel, service, list_services="*")
    assert set(REFLECTION) < {found.name for found in listed.list_services_response.service}
    symbol = "klever.v1alpha1.ServingService.SetTraffic"
    answer = await ask(channel, service, file_containing_symbol=symbol)
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(content)
        for content in answer.file_descriptor_response.file_descriptor_proto
    ]
    assert files[0].name == "klever/v1alpha1/serving_service.proto"
    assert any("Changes shares" in place.leading_comments for place in files[0].source_code_info.location)
    request = next(message for message in files[0].message_type if message.name == "SetTrafficRequest")
    assert "resourceVersion" in [field.json_name for field in request.field]
    names = {file.name for file in files}
    assert all(imported in names for file in files for imported in file.dependency)


async def test_an_unknown_symbol_is_not_found(channel: Any) -> None:
    for request in ({"file_containing_symbol": "klever.Nothing"}, {"file_by_filename": "none.proto"}):
        answer = await ask(channel, REFLECTION[0], **request)
        assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_an_answer_does_not_repeat_a_large_request(channel: Any) -> None:
    name = "x" * 100_000
    answer = await ask(channel, REFLECTION[0], file_containing_symbol=name)
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert answer.ByteSize() < 1_000
