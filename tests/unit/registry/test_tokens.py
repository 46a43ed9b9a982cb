"""Task tokens: what they grant, and everything that they must not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from klever.auth import Credentials
from klever.auth.task_tokens import derive_key, sign, verify
from klever.auth.token import token_access
from klever.errors import InvalidError, KleverError, PermissionDeniedError, UnauthenticatedError
from klever.oci.digest import Digest
from klever.registry.auth import Verb, repository_resource
from tests.unit.registry.client import TOKEN, Client, Served, manifest, serving
from tests.unit.registry.test_auth import RULES, basic, prepare

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
KEY = derive_key(TOKEN)
PULL = sign(KEY, {"a/b": {"pull"}}, LATER)
BOTH = sign(KEY, {"a/b": {"pull", "push"}}, LATER)


def decision(token: str, verb: Verb, repository: str, now: datetime = NOW) -> type[KleverError] | None:
    """The error that a token meets, where everybody may read."""
    try:
        access = token_access(TOKEN, anonymous=True, clock=lambda: now)
        access.require(access.authenticate(Credentials(token=token)), verb, repository_resource(repository))
    except KleverError as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    ("token", "verb", "repository", "error"),
    [
        (PULL, "pull", "a/b", None),
        (PULL, "login", "", None),
        (PULL, "push", "a/b", PermissionDeniedError),
        (PULL, "delete", "a/b", PermissionDeniedError),
        (PULL, "pull", "a/c", PermissionDeniedError),
        (PULL, "pull", "a", PermissionDeniedError),
        (PULL, "pull", "a/b/c", PermissionDeniedError),
        (PULL, "pull", "", PermissionDeniedError),
        (BOTH, "pull", "a/b", None),
        (BOTH, "push", "a/b", None),
        (BOTH, "delete", "a/b", PermissionDeniedError),
        (BOTH, "push", "a/c", PermissionDeniedError),
        (sign(KEY, {"a/b": {"push"}}, LATER), "pull", "a/b", PermissionDeniedError),
        (sign(KEY, {}, LATER), "pull", "a/b", PermissionDeniedError),
        (sign(KEY, {"a/b": {"pull"}, "c/d": {"push"}}, LATER), "push", "c/d", None),
        (sign(KEY, {"a/b": {"pull"}, "c/d": {"push"}}, LATER), "push", "a/b", PermissionDeniedError),
    ],
)
def test_a_token_allows_what_it_grants(
    token: str, verb: Verb, repository: str, error: type[KleverError] | None
) -> None:
    assert decision(token, verb, repository) is error


@pytest.mark.parametrize("reads", [False, True])
def test_the_platforms_own_token_allows_everything(reads: bool) -> None:
    access = token_access(TOKEN, anonymous=not reads)
    for verb in ("login", "pull", "push", "delete"):
        access.require(access.authenticate(Credentials(token=TOKEN)), verb, repository_resource("a/b"))


def test_it_expires_to_the_second() -> None:
    assert decision(PULL, "pull", "a/b", LATER - timedelta(seconds=1)) is None
    for late in (LATER, LATER + timedelta(days=3650)):
        assert decision(PULL, "pull", "a/b", late) is UnauthenticatedError
    elsewhere = sign(KEY, {"a/b": {"pull"}}, LATER.astimezone(timezone(timedelta(hours=9))))
    assert elsewhere == PULL
    assert verify(KEY, PULL, NOW).expires == LATER


def encoded(document: Any) -> str:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signed_by(key: bytes, payload: str, prefix: str = "klever1.", algorithm: Any = hashlib.sha256) -> str:
    text = prefix + payload
    return f"{text}.{encoded(hmac.digest(key, text.encode(), algorithm))}"


_, PAYLOAD, SIGNATURE = PULL.split(".")
WIDER = encoded({"exp": int(LATER.timestamp()), "grants": {"a/b": ["pull", "push"], "x/y": ["pull"]}})


@pytest.mark.parametrize(
    "token",
    [
        "klever1", "klever1.", "klever1..", "klever1...", f"klever1.{PAYLOAD}", f"klever1.{PAYLOAD}.",
        f"klever1..{SIGNATURE}", f"klever1.{SIGNATURE}", f"klever1.{WIDER}.{SIGNATURE}", f"klever1.{PAYLOAD}.{PAYLOAD}",
        PULL[:-1], PULL[:-10], PULL + "A", PULL + "=", PULL + "==", PULL + ".", PULL + " ", PULL[:-1] + "é",
        PULL + "\udcff",
        PULL + "\n", PULL.replace("klever1.", "klever1. "), f"{PULL}.{SIGNATURE}", f"klever1.{PULL}", PULL.upper(),
        f"klever1.{PAYLOAD}=.{SIGNATURE}", f"klever1.{PAYLOAD}A.{SIGNATURE}", f"klever1.{PAYLOAD}.{SIGNATURE.lower()}",
        PULL.replace("klever1", "klever2"), PULL.replace("klever1", "klever0"), PULL.replace("klever1", "Klever1"),
        PULL.removeprefix("klever1."), f"none.{PAYLOAD}.", f"klever1.{encoded({'alg': 'none'})}.{PAYLOAD}.",
        signed_by(TOKEN.encode(), PAYLOAD), signed_by(b"", PAYLOAD), signed_by(SIGNATURE.encode(), PAYLOAD),
        signed_by(KEY.hex().encode(), PAYLOAD), signed_by(KEY, PAYLOAD, algorithm=hashlib.sha512),
        signed_by(KEY, PAYLOAD, algorithm=hashlib.md5), signed_by(KEY, PAYLOAD, prefix="klever2."),
        signed_by(KEY, PAYLOAD, prefix=""),
        f"klever1.{PAYLOAD}.{hmac.new(KEY, PAYLOAD.encode(), 'sha256').hexdigest()}",
        f"klever1.{PAYLOAD}.{encoded(hashlib.sha256(KEY + PAYLOAD.encode()).digest())}",
        sign(derive_key("other"), {"a/b": {"pull"}}, LATER), "klever1." + "A" * 100_000 + "." + SIGNATURE,
    ],
)  # fmt: skip
def test_a_foreign_signature_is_refused(token: str) -> None:
    assert decision(token, "pull", "a/b") is UnauthenticatedError
    assert decision(token, "login", "") is UnauthenticatedError


@pytest.mark.parametrize(
    "document",
    [
        b"", b"nonsense", b"\xff", [], None, 1, {}, {"exp": 1e12}, {"grants": {}}, {"exp": "never", "grants": {}},
        {"exp": None, "grants": {}}, {"exp": 1e300, "grants": {}}, {"exp": 1e12, "grants": {}},
        {"exp": int(LATER.timestamp()), "grants": []}, {"exp": int(LATER.timestamp()), "grants": {"a/b": 1}},
        {"exp": int(LATER.timestamp()), "grants": {"a/b": [[]]}},
    ],
)  # fmt: skip
def test_a_payload_that_is_not_ours_is_refused_though_signed(document: Any) -> None:
    assert decision(signed_by(KEY, encoded(document)), "pull", "a/b") is UnauthenticatedError


def test_every_changed_character_is_found() -> None:
    for index, character in enumerate(PULL):
        changed = PULL[:index] + ("A" if character != "A" else "B") + PULL[index + 1 :]
        assert decision(changed, "pull", "a/b") is UnauthenticatedError, index


@pytest.mark.parametrize(
    "make",
    [
        lambda: sign(KEY, {"A/b": {"pull"}}, LATER),
        lambda: sign(KEY, {"": {"pull"}}, LATER),
        lambda: sign(KEY, {"a/../b": {"pull"}}, LATER),
        lambda: sign(KEY, {"a/b": set()}, LATER),
        lambda: sign(KEY, {"a/b": {"delete"}}, LATER),  # type: ignore[arg-type]  # what the type forbids
        lambda: sign(KEY, {"a/b": {"pull"}}, LATER.replace(tzinfo=None)),
        lambda: sign(KEY, {f"a/{number}": {"pull"} for number in range(1000)}, LATER),
        lambda: derive_key(""),
    ],
)
def test_nothing_else_is_signed(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidError):
        make()


def test_equal_grants_make_equal_tokens() -> None:
    one = sign(KEY, {"a/b": {"pull", "push"}, "c/d": {"pull"}}, LATER)
    assert one == sign(KEY, {"c/d": {"pull"}, "a/b": {"push", "pull"}}, LATER)
    assert TOKEN not in one


# Over HTTP


@pytest.fixture(params=[False, True], ids=["open reads", "guarded reads"])
async def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "registry", access=token_access(TOKEN, anonymous=not request.param)) as served:
        yield served


def holder(served: Served, **grants: Any) -> Client:
    """A client with a token for repositories, written with `__` for `/`."""
    expires = datetime.now(UTC) + timedelta(minutes=5)
    token = sign(KEY, {name.replace("__", "/"): verbs for name, verbs in grants.items()}, expires)
    return Client(served.client.http, served.client.address, token)


@pytest.mark.parametrize("verbs", [{"pull"}, {"push"}, {"pull", "push"}], ids=lambda verbs: "+".join(sorted(verbs)))
@pytest.mark.parametrize("repository", ["a__b", "c__d"])
async def test_every_route_keeps_to_the_grants(guarded: Served, verbs: set[str], repository: str) -> None:
    task = holder(guarded, **{repository: verbs})
    for (method, path), rule in RULES.items():
        location = await prepare(guarded.client)
        url = rule.path.replace("/v2/a/b/blobs/uploads/UPLOAD", location)
        answer = await task.ask(method, url, rule.body, Content_Type="application/vnd.oci.image.manifest.v1+json")
        granted = repository == "a__b" and rule.verb in verbs and path != "/v2/_catalog"
        assert answer.status == (rule.status if granted or rule.verb == "login" else 403), (method, path)


async def test_a_task_pulls_and_pushes_as_a_user_does(guarded: Served) -> None:
    task = holder(guarded, a__b={"pull", "push"})
    digest = await task.push("a/b", "v1", b"{}", b"layer")
    assert (await task.get_manifest("a/b", "v1")).body == manifest(b"{}", b"layer")
    as_password = await task.anonymous().ask(
        "GET", "/v2/a/b/manifests/v1", Authorization=basic(b"x:" + task.token.encode())
    )
    assert as_password.headers["Docker-Content-Digest"] == digest


async def test_no_blob_of_a_foreign_repository_is_mounted(guarded: Served) -> None:
    await guarded.client.push("secret/model", "v1", b"weights")
    mount = f"/v2/a/b/blobs/uploads/?mount={Digest.of(b'weights')}&from=secret/model"
    task = holder(guarded, a__b={"pull", "push"})
    assert (await task.ask("POST", mount)).status == 202
    assert (await task.get_blob("a/b", Digest.of(b"weights"))).status == 404
    both = holder(guarded, a__b={"push"}, secret__model={"pull"})
    assert (await both.ask("POST", mount)).status == 201


async def test_an_upload_of_another_repository_is_out_of_reach(guarded: Served) -> None:
    location = await guarded.client.start_upload("secret/model")
    task = holder(guarded, a__b={"pull", "push"})
    for path in (location, location.replace("/secret/model/", "/a/b/")):
        assert (await task.ask("PATCH", path, b"x")).status in {403, 404}


async def test_an_expired_token_is_refused(guarded: Served) -> None:
    token = sign(KEY, {"a/b": {"pull"}}, datetime.now(UTC) - timedelta(seconds=1))
    late = Client(guarded.client.http, guarded.client.address, token)
    assert (await late.ask("GET", "/v2/")).refusal == (401, "UNAUTHORIZED")
