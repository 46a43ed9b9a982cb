"""The rule of one token keeps the contracts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from klever.auth import ANONYMOUS, Access, Authenticator, Authorizer, Caller, Credentials, Resource
from klever.auth.headers import parse_authorization, parse_bearer
from klever.auth.task_tokens import derive_key, sign
from klever.auth.token import OWNER, TokenAuthenticator, TokenAuthorizer
from klever.errors import FailedPreconditionError, PermissionDeniedError, UnauthenticatedError
from tests.contract.auth import AuthenticatorContract, AuthorizerContract

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
TASK = sign(derive_key("secret"), {"a/b": {"pull"}}, LATER)
EXPIRED = sign(derive_key("secret"), {"a/b": {"pull"}}, NOW)
FOREIGN = sign(derive_key("another"), {"a/b": {"pull"}}, LATER)


def make(*, anonymous: bool) -> TokenAuthenticator:
    return TokenAuthenticator("secret", anonymous=anonymous, clock=lambda: NOW)


class TestTokenAuthenticator(AuthenticatorContract):
    @pytest.fixture
    def authenticator(self) -> Authenticator:
        return make(anonymous=True)

    @pytest.fixture
    def strict(self) -> Authenticator:
        return make(anonymous=False)

    @pytest.fixture(params=["secret", TASK], ids=["token", "task token"])
    def good(self, request: pytest.FixtureRequest) -> Credentials:
        return Credentials(token=request.param)

    @pytest.fixture(params=["", "secre", "secret ", "\udcff", EXPIRED, FOREIGN, TASK[:-1]])
    def bad(self, request: pytest.FixtureRequest) -> Credentials:
        return Credentials(token=request.param)

    def test_a_task_has_its_grants_alone(self) -> None:
        caller = make(anonymous=False).authenticate(Credentials(token=TASK))
        assert (caller.grants, caller.groups) == ({"a/b": frozenset({"pull"})}, frozenset({"tasks"}))

    def test_an_empty_token_is_refused_at_start(self) -> None:
        with pytest.raises(FailedPreconditionError):
            TokenAuthenticator("", anonymous=True)


class TestTokenAuthorizer(AuthorizerContract):
    @pytest.fixture
    def authorizer(self) -> Authorizer:
        return TokenAuthorizer()

    @pytest.fixture
    def owner(self) -> Caller:
        return OWNER


def test_a_refusal_tells_the_anonymous_to_come_back_with_a_token_and_others_that_it_is_final() -> None:
    access = Access(make(anonymous=True), TokenAuthorizer())
    access.require(ANONYMOUS, "get", Resource("Serving"))
    with pytest.raises(UnauthenticatedError):
        access.require(ANONYMOUS, "create", Resource("Serving"))
    with pytest.raises(PermissionDeniedError):
        access.require(access.authenticate(Credentials(token=TASK)), "get", Resource("Serving"))


def test_the_api_takes_bearer_tokens_and_the_registry_passwords_too() -> None:
    assert parse_bearer("") is parse_authorization("") is None
    assert parse_bearer("bearer  t ") == parse_authorization("BEARER t") == Credentials(token="t")
    assert parse_authorization("Basic bWU6c2VjcmV0") == Credentials("me", "secret")
    for header in ("Basic bWU6c2VjcmV0", "Digest t", "t"):
        with pytest.raises(UnauthenticatedError):
            parse_bearer(header)
