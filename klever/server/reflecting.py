"""Server reflection, v1 and v1alpha, with the comments and JSON names of the protos.

The two versions differ only in their package (grpc/grpc, src/proto/grpc/reflection), so both use the messages of
v1alpha.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2 as pb

__all__ = ["REFLECTION", "Reflection"]

REFLECTION: Final = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
_PACKAGE: Final = "klever.v1alpha1"
_ECHOED: Final = 4 << 10
"""Bytes of a request that its answer repeats, as the protocol asks for. Larger ones name nothing that exists."""
_FURTHER: Final = (health_pb2.DESCRIPTOR, pb.DESCRIPTOR)


class Reflection:
    """Describes `services`."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = sorted(services)
        self._files, self._symbols = _read()

    def handlers(self) -> list[grpc.GenericRpcHandler[Any, Any]]:
        """Return the handlers of both versions."""
        stream = grpc.stream_stream_rpc_method_handler(
            self._answer_all,
            request_deserializer=pb.ServerReflectionRequest.FromString,
            response_serializer=pb.ServerReflectionResponse.SerializeToString,
        )
        return [grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": stream}) for name in REFLECTION]

    async def _answer_all(self, requests: AsyncIterator[Any], _context: object) -> AsyncIterator[Any]:
        async for request in requests:
            yield self._answer(request)

    def _answer(self, request: Any) -> Any:
        kind = request.WhichOneof("message_request")
        answer = pb.ServerReflectionResponse()
        if request.ByteSize() <= _ECHOED:
            answer = pb.ServerReflectionResponse(valid_host=request.host, original_request=request)
        if kind == "list_services":
            answer.list_services_response.service.extend(pb.ServiceResponse(name=name) for name in self._services)
            return answer
        name = {
            "file_by_filename": request.file_by_filename,
            "file_containing_symbol": self._symbols.get(request.file_containing_symbol, ""),
        }.get(kind, "")
        if name not in self._files:
            code, message = grpc.StatusCode.NOT_FOUND.value
            answer.error_response.error_code, answer.error_response.error_message = code, message
            return answer
        answer.file_descriptor_response.file_descriptor_proto.extend(self._with_imports(name, set()))
        return answer

    def _with_imports(self, name: str, seen: set[str]) -> Iterator[bytes]:
        if name in seen:
            return
        seen.add(name)
        file = self._files[name]
        yield file.SerializeToString()
        for imported in file.dependency:
            yield from self._with_imports(imported, seen)


@cache
def _read() -> tuple[dict[str, descriptor_pb2.FileDescriptorProto], dict[str, str]]:
    """Return the files by name, and the file name of each symbol."""
    content = (files(_PACKAGE) / "descriptor.binpb").read_bytes()
    known = {file.name: file for file in descriptor_pb2.FileDescriptorSet.FromString(content).file}
    for descriptor in _FURTHER:
        _add(known, descriptor)
    symbols = {symbol: file.name for file in known.values() for symbol in _symbols(file)}
    return known, symbols


def _add(known: dict[str, descriptor_pb2.FileDescriptorProto], descriptor: FileDescriptor) -> None:
    found = descriptor_pb2.FileDescriptorProto()
    descriptor_pool.Default().FindFileByName(descriptor.name).CopyToProto(found)
    known.setdefault(found.name, found)


def _symbols(file: descriptor_pb2.FileDescriptorProto) -> Iterator[str]:
    for message in file.message_type:
        yield from _of_message(file.package, message)
    for enum in file.enum_type:
        yield f"{file.package}.{enum.name}"
    for extension in file.extension:
        yield f"{file.package}.{extension.name}"
    for service in file.service:
        yield f"{file.package}.{service.name}"
        yield from (f"{file.package}.{service.name}.{method.name}" for method in service.method)


def _of_message(scope: str, message: descriptor_pb2.DescriptorProto) -> Iterator[str]:
    name = f"{scope}.{message.name}"
    yield name
    yield from (f"{name}.{field.name}" for field in message.field)
    yield from (f"{name}.{enum.name}" for enum in message.enum_type)
    for nested in message.nested_type:
        yield from _of_message(name, nested)
