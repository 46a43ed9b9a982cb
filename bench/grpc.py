"""The API through gRPC: `python bench/grpc.py`. Server and clients are processes of their own.

A bare grpc.aio server is measured by the same clients, in turn with the real one: it keeps and checks nothing, answers
with the bytes that it was sent, and passes them on to all who watch. It shows what of a figure is grpc.aio and the
machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

# This file's own directory would hide the package `grpc`.
sys.path = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).resolve().parent]

import grpc
from prometheus_client import CollectorRegistry

from klever.v1alpha1 import job_service_pb2 as pb
from klever.v1alpha1 import job_service_pb2_grpc
from klever.v1alpha1.common_pb2 import WatchEvent
from klever.v1alpha1.meta_pb2 import ObjectMeta
from klever.v1alpha1.modeljob_pb2 import ExtractionSpec, ModelJob, ModelJobSpec

SECONDS = 3.0
ROUNDS = 5
WATCHERS, PROCESSES, RATE, WRITES = 100, 2, 50.0, 300
BARE = "bare.sock"
FANS = ("fan-1", "fan-2", "fan-3")
"""Namespaces, one for each round."""
GET = "/klever.v1alpha1.JobService/GetModelJob"


def job(name: str) -> ModelJob:
    spec = ModelJobSpec(model="team/model:v1", extraction=ExtractionSpec(format="ONNX"))
    return ModelJob(metadata=ObjectMeta(name=name, annotations={"note": "x" * 700}), spec=spec)


async def bare(address: str) -> None:
    watchers: list[asyncio.Queue[bytes]] = []

    async def get(request: bytes, _context: object) -> bytes:
        return request

    async def create(request: bytes, _context: object) -> bytes:
        made = pb.CreateModelJobRequest.FromString(request).model_job
        if watchers:
            event = pb.WatchModelJobsResponse(type=WatchEvent.ADDED, object=made).SerializeToString()
            for watcher in watchers:
                watcher.put_nowait(event)
        return made.SerializeToString()

    async def watch(_request: bytes, context: Any) -> None:
        events: asyncio.Queue[bytes] = asyncio.Queue()
        watchers.append(events)
        await context.write(pb.WatchModelJobsResponse(type=WatchEvent.BOOKMARK).SerializeToString())
        while True:
            await context.write(await events.get())

    server = grpc.aio.server()
    methods = {
        "GetModelJob": grpc.unary_unary_rpc_method_handler(get),
        "CreateModelJob": grpc.unary_unary_rpc_method_handler(create),
        "WatchModelJobs": grpc.unary_stream_rpc_method_handler(watch),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("klever.v1alpha1.JobService", methods)])
    server.add_insecure_port(address)
    await server.start()
    print("up", flush=True)
    await server.wait_for_termination()


async def unary(target: str, concurrent: int = 8) -> float:
    """Get calls a second; the request is a job's bytes for the bare server, so that it answers as much."""
    async with grpc.aio.insecure_channel(target) as channel:
        call: Any = channel.unary_unary(GET, None, None)
        request = pb.GetModelJobRequest(namespace="default", name="one").SerializeToString()
        if target.endswith(BARE):
            request = job("one").SerializeToString()
        deadline = time.perf_counter() + SECONDS
        count = 0

        async def ask() -> None:
            nonlocal count
            while time.perf_counter() < deadline:
                await call(request)
                count += 1

        await asyncio.gather(*(ask() for _ in range(concurrent)))
    return count / SECONDS


async def creates(target: str, token: str, writers: int, prefix: str) -> float:
    metadata = (("authorization", f"Bearer {token}"),)
    async with grpc.aio.insecure_channel(target) as channel:
        stub: Any = job_service_pb2_grpc.JobServiceStub(channel)
        deadline = time.perf_counter() + SECONDS
        count = 0

        async def write(writer: int) -> None:
            nonlocal count
            number = 0
            while time.perf_counter() < deadline:
                request = pb.CreateModelJobRequest(namespace="bench", model_job=job(f"{prefix}-{writer}-{number}"))
                await stub.CreateModelJob(request, metadata=metadata)
                number += 1
                count += 1

        await asyncio.gather(*(write(w) for w in range(writers)))
    return count / SECONDS


async def watch(target: str, namespace: str, count: int) -> None:
    """Watch a namespace `count` times; print when the last of these heard of each write, by name."""
    heard: dict[str, float] = {}
    async with grpc.aio.insecure_channel(target) as channel:
        stub: Any = job_service_pb2_grpc.JobServiceStub(channel)

        async def listen() -> None:
            request = pb.WatchModelJobsRequest(namespace=namespace, bookmarks=True)
            left = WRITES
            async for event in stub.WatchModelJobs(request):
                if event.type == WatchEvent.BOOKMARK:
                    print("ready", flush=True)
                elif event.type == WatchEvent.ADDED:
                    heard[event.object.metadata.name] = time.monotonic()
                    left -= 1
                    if not left:
                        return

        await asyncio.gather(*(listen() for _ in range(count)))
    print(json.dumps(heard), flush=True)


async def fan_out(target: str, token: str, namespace: str) -> tuple[float, float]:
    """Milliseconds from sending a write to the last of all watchers, p50 and p99."""
    each = WATCHERS // PROCESSES
    listeners = [_child("watch", target, namespace, str(each)) for _ in range(PROCESSES)]
    for listener in listeners:
        assert listener.stdout is not None
        for _ in range(each):
            assert listener.stdout.readline() == "ready\n"
    sent: dict[str, float] = {}
    metadata = (("authorization", f"Bearer {token}"),)
    async with grpc.aio.insecure_channel(target) as channel:
        stub: Any = job_service_pb2_grpc.JobServiceStub(channel)
        begun = time.monotonic()
        calls = []
        for number in range(WRITES):
            await asyncio.sleep(max(0.0, begun + number / RATE - time.monotonic()))
            name = f"fan-{number}"
            sent[name] = time.monotonic()
            request = pb.CreateModelJobRequest(namespace=namespace, model_job=job(name))
            calls.append(asyncio.ensure_future(stub.CreateModelJob(request, metadata=metadata)))
        await asyncio.gather(*calls)
    heard = [json.loads(listener.communicate(timeout=60)[0].splitlines()[-1]) for listener in listeners]
    delays = sorted(max(times[name] for times in heard) - sent[name] for name in sent)
    return delays[len(delays) // 2] * 1000, delays[int(len(delays) * 0.99)] * 1000


def _child(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True)


def _run(*arguments: str) -> float:
    done = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def _cpu(pid: int) -> float:
    """Return the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _cost(pid: int, target: str, token: str, prefix: str) -> float:
    """Return microseconds of a server's processor time for a create: unlike a rate, it hardly feels other programs."""
    before = _cpu(pid)
    rate = _run("creates", target, token, "16", prefix)
    return (_cpu(pid) - before) / (rate * SECONDS) * 1e6


def measure(root: Path, url: str, pid: int) -> list[tuple[str, ...]]:
    api = f"unix:{root}/data/sockets/api.sock"
    peer = f"unix:{root}/{BARE}"
    token = (root / "data" / "token").read_text().strip()
    gateway = url.partition("//")[2]
    server = _child("bare", peer)
    assert server.stdout is not None
    server.stdout.readline()
    try:
        reads = [[_run("unary", target) for target in (peer, api, gateway)] for _ in range(ROUNDS)]
        writes = [
            [
                _run("creates", target, token, "16", f"{name}{n}")
                for name, target in (("p", peer), ("a", api), ("g", gateway))
            ]
            for n in range(ROUNDS)
        ]
        costs = [[_cost(p, t, token, f"c{n}") for p, t in ((server.pid, peer), (pid, api))] for n in range(ROUNDS)]
        fans = [[asyncio.run(fan_out(target, token, space)) for target in (peer, api)] for space in FANS]
    finally:
        server.terminate()
        server.wait()
    delays = [
        " / ".join(f"{median(column):.1f}" for column in zip(*rounds, strict=True))
        for rounds in zip(*fans, strict=True)
    ]
    return [
        ("Get, calls/s", *_shares(reads), ">= 0.5 of bare"),
        ("creates/s, 16 writers", *_shares(writes), ">= 0.6 of bare"),
        (
            "processor time of the server for a create, µs",
            *(f"{median(c):.0f}" for c in zip(*costs, strict=True)),
            "",
            "",
        ),
        (f"fan-out to {WATCHERS} watchers, sent to last, p50 / p99 ms", *delays, "", "p99 < 15"),
    ]


def _shares(rounds: list[list[float]]) -> list[str]:
    """Medians of what was measured, and of the shares of the bare server's in the same round."""
    peer, *others = (median(column) for column in zip(*rounds, strict=True))
    shares = [median(row[place] / row[0] for row in rounds) for place in (1, 2)]
    return [f"{peer:.0f}", *(f"{value:.0f} ({share:.2f})" for value, share in zip(others, shares, strict=True))]


def main() -> None:
    if len(sys.argv) > 1:
        role, *rest = sys.argv[1:]
        if role == "bare":
            asyncio.run(bare(rest[0]))
        elif role == "unary":
            print(asyncio.run(unary(rest[0])))
        elif role == "serve":
            asyncio.run(serve(Path(rest[0])))
        elif role == "creates":
            print(asyncio.run(creates(rest[0], rest[1], int(rest[2]), rest[3])))
        else:
            asyncio.run(watch(rest[0], rest[1], int(rest[2])))
        return
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        server = _child("serve", str(root))
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            rows = measure(root, url, server.pid)
        finally:
            server.terminate()
            server.wait()
    print("| figure | bare grpc.aio | Klever | Klever through Envoy | goal |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


async def serve(root: Path) -> None:
    """The API, its store and the gateway, without controllers: each create would begin a job."""
    from klever.api.kinds import MODEL_JOB, NAMESPACE  # noqa: PLC0415 - of this one process alone
    from klever.auth.token import token_access  # noqa: PLC0415 - as above
    from klever.cmd.data import DataDirectory  # noqa: PLC0415 - as above
    from klever.cmd.local import make_gateway  # noqa: PLC0415 - as above
    from klever.cmd.options import Options  # noqa: PLC0415 - as above
    from klever.cmd.programs import envoy_binary  # noqa: PLC0415 - as above
    from klever.environments import EnvironmentManager  # noqa: PLC0415 - as above
    from klever.executors.local import LocalExecutor  # noqa: PLC0415 - as above
    from klever.process import ProcessManager  # noqa: PLC0415 - as above
    from klever.routers.envoy import EnvoyRouter  # noqa: PLC0415 - as above
    from klever.server.app import make_server  # noqa: PLC0415 - as above
    from klever.server.binding import Binder  # noqa: PLC0415 - as above
    from klever.server.calls import RpcMetrics  # noqa: PLC0415 - as above
    from klever.server.jobs import JobHandlers  # noqa: PLC0415 - as above
    from klever.server.objects import Objects  # noqa: PLC0415 - as above
    from klever.server.services import JOBS, make_services  # noqa: PLC0415 - as above
    from klever.store.sqlite import SqliteStore  # noqa: PLC0415 - as above
    from klever.store.validation import SchemaAdmission  # noqa: PLC0415 - as above

    data = DataDirectory(root / "data")
    data.prepare()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    gateway = make_gateway(data, Options("127.0.0.1", port, (), False, root, 0, os.defpath))
    store = await SqliteStore.open(data.database, SchemaAdmission())
    for namespace in ("default", "bench", *FANS):
        await store.create(NAMESPACE, {"metadata": {"name": namespace}})
    await store.create(
        MODEL_JOB,
        {
            "metadata": {"namespace": "default", "name": "one", "annotations": {"note": "x" * 700}},
            "spec": {"model": "team/model:v1", "extraction": {"format": "ONNX"}},
        },
    )
    processes = ProcessManager(data.processes)
    executor = LocalExecutor(processes, (), env={}, environments=EnvironmentManager(processes.root))
    jobs = Objects[ModelJob](store, MODEL_JOB)
    services = make_services([jobs], {JOBS: JobHandlers(jobs, executor)})
    authenticator = token_access(data.token(), anonymous=True)
    server = await make_server(Binder(authenticator, RpcMetrics(CollectorRegistry())), services)
    server.add_insecure_port(f"unix:{gateway.api}")
    await server.start()
    router = EnvoyRouter(data.envoy, gateway, processes, envoy_binary(), ())
    await router.start()
    print(gateway.url, flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await router.stop()
    await server.stop(1.0)
    await store.close()


if __name__ == "__main__":
    main()
