"""Generated requests to a Triton, from nearly honest to hostile: each is made from its seed alone."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import aiohttp
import grpc

from tests.attacks.triton import GRPC, METADATA, NAME, message
from tests.e2e.platform import Platform

__all__ = ["Outcome", "fuzz"]

CONNECTIONS = 8
_SECONDS = 60.0
_SIZES = (0, 1, 1, 2, 3, 3, 7, 64, 1000, 1 << 20, 10**9, 1 << 31, 1 << 32, 1 << 40, 1 << 61, 1 << 62, 1 << 63, 1 << 64)
_ODD_SIZES: tuple[Any, ...] = (-1, -2, -(1 << 31), -(1 << 62), -(1 << 63), 1.5, 1e9, True, None, "3", [3], {})
_KINDS = ("FP32", "FP64", "FP16", "BF16", "INT8", "INT64", "UINT64", "BOOL", "BYTES", "STRING", "", "FP32\0")
_NAMES = ("F", "S", "F", "S", "FOUT", "SOUT", "", "G", "F" * 5000, "classification")
_PARAMETERS = (
    "binary_data_size", "binary_data", "classification", "shared_memory_region", "shared_memory_byte_size",
    "shared_memory_offset", "sequence_id", "sequence_start", "priority", "timeout", "headers", "data", "shape", "",
    "triton_enable_empty_final_response",
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    0, 1, -1, 4, 12, 1000, 1 << 31, 1 << 62, (1 << 64) - 1, 1 << 64, -(1 << 63), 0.5, 1e308, -0.0, True, False, None,
    "", "a", "F", "x" * 3000, "\0", "\u00e9\ud83d\ude00", [], {}, [1], {"classification": 1},
)  # fmt: skip
_LENGTHS = ("0", "1", "-1", "+1", "99999999999", "abc", "", " 5", "1e3", "0x10", "5, 5")


@dataclass
class Outcome:
    """How requests ended: HTTP statuses and gRPC codes, and what none of them may be."""

    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """Seeds and answers of the gateway's own faults, and of what got no answer in time."""


async def fuzz(platform: Platform, seeds: Sequence[int]) -> Outcome:
    """Send one request for each seed, `CONNECTIONS` at a time."""
    outcome, waiting = Outcome(), iter(seeds)
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout) as http,
        grpc.aio.insecure_channel(f"127.0.0.1:{platform.port}") as channel,
    ):

        async def work() -> None:
            for seed in waiting:
                rng = random.Random(seed)
                send = _http(platform, http, rng) if rng.random() < 0.7 else _grpc(channel, rng)
                end = await send
                outcome.ends[end.partition(":")[0]] += 1
                if "cannot be checked" in end or end == "timeout":
                    outcome.wrong.append(f"seed {seed}: {end}")

        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return outcome


# HTTP


async def _http(platform: Platform, http: aiohttp.ClientSession, rng: random.Random) -> str:
    verb = rng.choice(("infer", "infer", "infer", "infer", "generate", "generate_stream"))
    content = _content(rng, verb)
    headers = {"Content-Type": rng.choice(("application/json", "application/octet-stream"))}
    if rng.random() < 0.3:
        length = str(len(content)) if rng.random() < 0.6 else rng.choice(_LENGTHS)
        headers["Inference-Header-Content-Length"] = length
        content += rng.randbytes(rng.choice((0, 0, 1, 4, 12, 500)))
    if rng.random() < 0.05:
        headers["Content-Encoding"] = rng.choice(("gzip", "deflate", "identity", "x"))
    body = BytesIO(content) if rng.random() < 0.8 else _pieces(rng, content)
    url = f"{platform.url}/seldon/default/{NAME}/v2/models/{NAME}/{verb}"
    try:
        async with http.post(url, data=body, headers=headers) as response:
            text = (await response.read()).decode(errors="replace")
            return f"HTTP {response.status}: {text[:500] if response.status >= 400 else ''}"
    except TimeoutError:
        return "timeout"
    except aiohttp.ClientError as error:
        return f"HTTP {type(error).__name__}"


async def _pieces(rng: random.Random, content: bytes) -> AsyncIterator[bytes]:
    while content:
        size = rng.choice((1, 1, 2, 10, 1000, 100_000))
        yield content[:size]
        content = content[size:]


def _content(rng: random.Random, verb: str) -> bytes:
    if rng.random() < 0.02:
        return (rng.choice(("[", '{"a":', '[{"data":')) * rng.choice((60, 70, 30_000, 200_000))).encode()
    document = _generate(rng) if verb != "infer" and rng.random() < 0.7 else _infer(rng)
    content = json.dumps(document, ensure_ascii=rng.random() < 0.5).encode(errors="surrogatepass")
    if rng.random() < 0.15:
        content = content.replace(*rng.choice(_REPLACED))
    return _mutated(rng, content) if rng.random() < 0.3 else content


_REPLACED = (
    (b"shape", b"sh\\u0061pe"),
    (b'"shape"', b'"shape": [1], "shape"'),
    (b"classification", b"\\u0063lassification"),
    (b'"data"', b'"data": [], "data"'),
    (b"[", b"[["),
    (b"1", b"1e400"),
    (b":", b" \t:\n"),
    (b"{", b"\xef\xbb\xbf{"),
    (b"1", b"NaN"),
    (b'"F"', b'"F\\"'),
)


def _infer(rng: random.Random) -> dict[str, Any]:
    document: dict[str, Any] = {"inputs": [_tensor(rng, name) for name in _some_names(rng)]}
    if rng.random() < 0.5:
        document["outputs"] = [_asked(rng) for _ in range(rng.choice((1, 1, 2, 3, 100)))]
    if rng.random() < 0.2:
        document["id"] = rng.choice(_VALUES)
    if rng.random() < 0.2:
        document["parameters"] = _parameters(rng)
    if rng.random() < 0.05:
        document[rng.choice(("inputs", "outputs", "id", "parameters"))] = rng.choice(_VALUES)
    return document


def _some_names(rng: random.Random) -> list[str]:
    return ["F", "S"] if rng.random() < 0.8 else rng.choices(_NAMES, k=rng.choice((0, 1, 2, 3, 50)))


def _tensor(rng: random.Random, name: str) -> dict[str, Any]:
    kind = "BYTES" if name == "S" else "FP32"
    shape, data = _shape_and_data(rng, kind)
    tensor = {"name": name, "datatype": kind if rng.random() < 0.9 else rng.choice(_KINDS), "shape": shape}
    if rng.random() < 0.15:
        tensor["parameters"] = _parameters(rng)
    if rng.random() < 0.95:
        tensor["data"] = data
    if rng.random() < 0.05:
        tensor.pop(rng.choice(list(tensor)))
    return tensor


def _shape_and_data(rng: random.Random, kind: str) -> tuple[Any, Any]:
    count = rng.choice((0, 1, 2, 5, 5, 30, 2000))
    data: Any = [_value(rng, kind) for _ in range(count)]
    chance = rng.random()
    if chance < 0.5:
        return [count], data
    for _ in range(rng.choice((0, 0, 1, 2, 30, 61, 63, 100))):
        data = [data]
    if chance < 0.9:
        return rng.choices(_SIZES, k=rng.choice((0, 1, 1, 1, 2, 3, 64))), data
    return rng.choices((*_ODD_SIZES, *_SIZES), k=rng.choice((1, 1, 2, 3))), data


def _value(rng: random.Random, kind: str) -> Any:
    if rng.random() < 0.02:
        return rng.choice(_VALUES)
    return rng.choice(("", "a", "classification", "x" * 300)) if kind == "BYTES" else round(rng.uniform(-9, 9), 3)


def _parameters(rng: random.Random) -> dict[str, Any]:
    return {rng.choice(_PARAMETERS): rng.choice(_VALUES) for _ in range(rng.choice((1, 1, 2, 5)))}


def _asked(rng: random.Random) -> dict[str, Any]:
    asked: dict[str, Any] = {"name": rng.choice(("FOUT", "SOUT", "FOUT", "SOUT", *_NAMES))}
    if rng.random() < 0.5:
        asked["parameters"] = _parameters(rng)
    return asked


def _generate(rng: random.Random) -> dict[str, Any]:
    document: dict[str, Any] = {"F": 1.5, "S": "x"}
    for _ in range(rng.choice((0, 1, 2))):
        document[rng.choice((*_NAMES, *_PARAMETERS))] = rng.choice(_VALUES)
    return document


def _mutated(rng: random.Random, content: bytes) -> bytes:
    """Change a few bytes, or repeat or drop a part."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(changed) + 1)
        part = changed[at : at + rng.choice((1, 3, 20))]
        action = rng.randrange(4)
        if action == 0:
            changed[at:at] = rng.choice((b"\0", b"\xff", b'"', b"\\", b"[", b"}", b"9" * 30, rng.randbytes(3)))
        elif action == 1:
            del changed[at : at + len(part)]
        elif action == 2:
            changed[at:at] = part * rng.choice((1, 2, 50))
        elif part:
            changed[at] ^= 1 << rng.randrange(8)
    return bytes(changed)


# gRPC


async def _grpc(channel: Any, rng: random.Random) -> str:
    method = rng.choice(("ModelInfer", "ModelInfer", "ModelStreamInfer", "ModelMetadata"))
    compression = grpc.Compression.Gzip if rng.random() < 0.05 else None
    options: dict[str, Any] = {"metadata": METADATA, "timeout": _SECONDS, "compression": compression}
    try:
        if method == "ModelStreamInfer":
            messages = [_message(rng) for _ in range(rng.choice((1, 2, 5)))]
            call = channel.stream_stream(f"{GRPC}/{method}")(iter(messages), **options)
            answers = [answer async for answer in call]
            return f"stream {await call.code()}: {len(answers)}"
        await channel.unary_unary(f"{GRPC}/{method}")(_message(rng), **options)
    except grpc.aio.AioRpcError as error:
        if error.details() == "Internal error from Core":
            return "gRPC client: no status"  # the library's own words: the answer came before it had sent its message
        timeout = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        return "timeout" if timeout else f"gRPC {error.code()}: {error.details()}"
    return "gRPC StatusCode.OK"


def _message(rng: random.Random) -> bytes:
    request = message()
    for tensor in request.inputs:
        if rng.random() < 0.5:
            sizes = rng.choices(_SIZES[:-2], k=rng.choice((0, 1, 1, 2, 64)))
            tensor.shape[:] = sizes if rng.random() < 0.8 else [-rng.choice(sizes or [1])]
        if rng.random() < 0.1:
            tensor.datatype = rng.choice(_KINDS)
        if rng.random() < 0.1:
            tensor.name = rng.choice(_NAMES)
        if rng.random() < 0.1:
            tensor.parameters[rng.choice(_PARAMETERS)].int64_param = rng.choice(_SIZES[:-2])
    if rng.random() < 0.3:
        for tensor in request.inputs:
            tensor.ClearField("contents")
            request.raw_input_contents.append(rng.choice((b"", bytes(12), b"\1\0\0\0x", b"\xff" * 8, bytes(3000))))
    for _ in range(rng.choice((0, 0, 1, 3))):
        output = request.outputs.add()
        output.name = rng.choice(("FOUT", "SOUT", *_NAMES))
        if rng.random() < 0.5:
            output.parameters[rng.choice(_PARAMETERS)].int64_param = rng.choice((0, 1, 3, 1 << 40))
    content = bytes(request.SerializeToString())
    return _mutated(rng, content) if rng.random() < 0.4 else content
