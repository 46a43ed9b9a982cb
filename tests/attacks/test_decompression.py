"""Compressed bombs, sent by somebody without a token: 500 kB each that would become 500 MiB."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.attacks.http2 import Request, compressed
from tests.attacks.memory import peak_mib, reset_peak
from tests.e2e.platform import Platform

CREATE = "/klever.v1alpha1.JobService/CreateModelJob"
LIST = "/klever.v1alpha1.JobService/ListModelJobs"


def test_bombs_without_a_token_take_no_memory(shared_platform: Platform) -> None:
    assert shared_platform.process is not None
    bomb = compressed(bytes(500 << 20))
    reset_peak(shared_platform.process.pid)
    before = peak_mib(shared_platform.process.pid)
    with ThreadPoolExecutor(8) as threads:
        sent = [
            threads.submit(Request, shared_platform.port, path, bomb, grpc_encoding=encoding)
            for path in (CREATE, LIST)
            for encoding in ("gzip", "gzip", "deflate", "identity")
        ]
        status, _ = shared_platform.http("GET", "/api/v1alpha1/namespaces/default/modeljobs")
        assert status == 200
        assert all(request.result().answered for request in sent)
    assert peak_mib(shared_platform.process.pid) < before + 50
