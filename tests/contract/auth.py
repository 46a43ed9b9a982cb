"""What every Authenticator and every Authorizer promises."""

from __future__ import annotations

import pytest

from klever.auth import ANONYMOUS, Authenticator, Authorizer, Caller, Credentials, Resource
from klever.errors import UnauthenticatedError

__all__ = ["AuthenticatorContract", "AuthorizerContract"]


class AuthenticatorContract:
    """A suite: a subclass gives `authenticator` (admits anonymous callers), `strict` (does not), `good` and `bad`."""

    def test_good_credentials_have_a_name(self, authenticator: Authenticator, good: Credentials) -> None:
        caller = authenticator.authenticate(good)
        assert caller.name
        assert caller != ANONYMOUS
        assert authenticator.authenticate(good) == caller

    def test_bad_credentials_are_refused_even_where_anybody_may_come(
        self, authenticator: Authenticator, strict: Authenticator, bad: Credentials
    ) -> None:
        for one in (authenticator, strict):
            with pytest.raises(UnauthenticatedError):
                one.authenticate(bad)

    def test_no_credentials_are_anonymous_or_refused(self, authenticator: Authenticator, strict: Authenticator) -> None:
        assert authenticator.authenticate(None) == ANONYMOUS
        with pytest.raises(UnauthenticatedError):
            strict.authenticate(None)

    def test_an_error_does_not_tell_the_credentials(self, authenticator: Authenticator) -> None:
        with pytest.raises(UnauthenticatedError) as refused:
            authenticator.authenticate(Credentials("me", "a-secret-of-mine"))
        assert "a-secret-of-mine" not in str(refused.value)


class AuthorizerContract:
    """A suite: a subclass gives `authorizer` and an `owner`, who may do everything."""

    RESOURCES = (
        Resource("Serving", "team", "digits"),
        Resource("Serving", "team", "digits", "traffic"),
        Resource("ModelJob", "team"),
        Resource("Project"),
        Resource("Repository", "team", "team/digits"),
    )
    WRITES = ("create", "patch", "update", "delete", "push")

    @pytest.mark.parametrize("resource", RESOURCES)
    def test_the_owner_may_do_everything(self, authorizer: Authorizer, owner: Caller, resource: Resource) -> None:
        for verb in (*self.WRITES, "get", "list", "watch", "pull", "login"):
            assert authorizer.check(owner, verb, resource).allowed

    @pytest.mark.parametrize("resource", RESOURCES)
    def test_an_anonymous_caller_writes_nothing(self, authorizer: Authorizer, resource: Resource) -> None:
        for verb in (*self.WRITES, "login"):
            decision = authorizer.check(ANONYMOUS, verb, resource)
            assert not decision.allowed
            assert decision.reason

    @pytest.mark.parametrize("resource", RESOURCES)
    def test_grants_are_all_that_their_caller_has(
        self, authorizer: Authorizer, owner: Caller, resource: Resource
    ) -> None:
        task = Caller("task", owner.groups, {"other/model": frozenset({"pull", "push"})})
        for verb in (*self.WRITES, "get", "list", "watch", "pull"):
            assert not authorizer.check(task, verb, resource).allowed
        granted = Resource("Repository", "other", "other/model")
        assert authorizer.check(task, "pull", granted).allowed
        assert not authorizer.check(task, "delete", granted).allowed

    def test_an_unknown_verb_is_refused(self, authorizer: Authorizer) -> None:
        assert not authorizer.check(ANONYMOUS, "impersonate", Resource("Serving", "team", "digits")).allowed
