"""The access server, asked as Envoy asks it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from klever.auth import Credentials
from klever.auth.ext_authz import serve_access
from klever.auth.task_tokens import derive_key, sign
from klever.auth.token import OWNER
from klever.auth.token_file import TokenFile
from klever.errors import FailedPreconditionError, UnauthenticatedError

INFER = "POST /seldon/team/digits/v2/models/digits/infer?x=1"
RPC = "POST /inference.GRPCInferenceService/ModelInfer"
TASK = sign(derive_key("secret"), {"team/digits": {"pull", "push"}}, datetime.now(UTC) + timedelta(hours=1))


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("secret\n")
    return path


@pytest.fixture
async def socket(tmp_path: Path, token_file: Path) -> AsyncIterator[Path]:
    path = tmp_path / "access.sock"
    server = await serve_access(path, TokenFile(token_file).access)
    yield path
    server.close()
    await server.wait_closed()


async def _read(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], str]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status, *lines = head.strip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    body = (await reader.readexactly(int(headers["content-length"]))).decode()
    return int(status.split()[1]), headers, body


async def ask(socket: Path, request: str, *headers: str) -> tuple[int, dict[str, str], str]:
    reader, writer = await asyncio.open_unix_connection(socket)
    lines = (f"{request} HTTP/1.1", "host: access", *headers, "", "")
    writer.write("\r\n".join(lines).encode(errors="surrogateescape"))
    answer = await _read(reader)
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("request_", [INFER, RPC, "GET /api/v1alpha1/namespaces/team/servings", "GET /"])
async def test_the_token_passes_and_others_do_not(socket: Path, request_: str) -> None:
    assert (await ask(socket, request_, "Authorization: bearer secret"))[0] == 200
    for wrong in ("Bearer secre", "Bearer secret2", "Basic c2VjcmV0OnNlY3JldA==", "Bearer \udcff", "Bearer", ""):
        assert (await ask(socket, request_, f"authorization: {wrong}"))[0] == 401, wrong
    assert (await ask(socket, request_))[0] == 401


async def test_a_client_without_a_token_reads_what_it_lacks(socket: Path) -> None:
    _, headers, body = await ask(socket, INFER)
    assert "token" in json.loads(body)["error"]
    assert headers["www-authenticate"].startswith("Bearer")
    assert headers["content-type"] == "application/json"
    _, _, message = await ask(socket, RPC, "content-type: application/grpc")
    assert message == json.loads(body)["error"]


@pytest.mark.parametrize("request_", [INFER, RPC])
async def test_a_task_may_not_infer(socket: Path, request_: str) -> None:
    bearer = f"authorization: Bearer {TASK}"
    assert (await ask(socket, request_, bearer, "namespace: team", "seldon: digits"))[0] == 403


async def test_an_answer_does_not_repeat_the_token(socket: Path) -> None:
    _, headers, body = await ask(socket, INFER, "authorization: Bearer a-secret-of-mine")
    assert "a-secret-of-mine" not in f"{headers}{body}"


def test_a_token_is_valid_until_another_replaces_it(token_file: Path) -> None:
    token = TokenFile(token_file)

    def passes(value: str) -> bool:
        try:
            return token.access().authenticate(Credentials(token=value)) == OWNER
        except UnauthenticatedError:
            return False

    assert passes("secret")
    token_file.unlink()
    assert passes("secret")
    token_file.touch()
    assert passes("secret")
    token_file.write_text("another")
    assert passes("another")
    assert not passes("secret")


def test_a_token_file_that_is_missing_or_empty_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises(FailedPreconditionError):
        TokenFile(tmp_path / "none")
    (tmp_path / "empty").touch()
    with pytest.raises(FailedPreconditionError):
        TokenFile(tmp_path / "empty")


async def test_requests_may_arrive_in_parts_and_together(socket: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(socket)
    one = f"{INFER} HTTP/1.1\r\nauthorization: Bearer secret\r\n\r\n".encode()
    writer.write(one + one + one[:40])
    for _ in range(2):
        assert (await _read(reader))[0] == 200
    writer.write(one[40:])
    assert (await _read(reader))[0] == 200
    writer.write(bytes(100_000))
    assert await reader.read() == b""  # closed
    writer.close()
