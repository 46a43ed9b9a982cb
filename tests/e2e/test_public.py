"""A platform that others can reach."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator

import grpc
import pytest

from tests.e2e.conftest import Objects
from tests.e2e.inference import infer, served, under_load
from tests.e2e.platform import Platform, until

READY = "/seldon/default/adder/v2/models/adder/ready"
SERVINGS = "/api/v1alpha1/namespaces/default/servings"


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory, objects: Objects) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("public"), ("--host", "0.0.0.0", "--plaintext", *objects.fresh()))
    platform.start()
    served(platform)
    yield platform
    platform.clean_up()


def test_beyond_loopback_every_request_needs_the_token(public: Platform) -> None:
    bearer = {"Authorization": f"Bearer {public.token}"}
    wrong = {"Authorization": "Bearer guess"}
    for path in (READY, SERVINGS, "/v2/team/adder/tags/list"):
        assert public.http("GET", path)[0] == 401, path
        assert public.http("GET", path, **wrong)[0] == 401, path
        assert public.http("GET", path, **bearer)[0] == 200, path
    with pytest.raises(grpc.RpcError) as caught:
        infer(public, ("seldon", "adder"), ("namespace", "default"))
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    named = (("seldon", "adder"), ("namespace", "default"), ("authorization", f"Bearer {public.token}"))
    assert infer(public, *named).model_name == "adder"


def test_a_killed_control_plane_costs_a_caller_with_the_token_no_request(public: Platform) -> None:
    bearer = {"Authorization": f"Bearer {public.token}"}
    with under_load(public, "adder", **bearer) as answered:
        public.end(signal.SIGKILL)
        seen = len(answered)
        until(lambda: len(answered) > seen + 20)
        assert public.http("GET", READY)[0] == 401
        public.start()
        seen = len(answered)
        until(lambda: len(answered) > seen + 20)


def test_it_answers_to_the_names_of_its_machine(public: Platform) -> None:
    bearer = {"Authorization": f"bearer {public.token}"}
    for name in (socket.gethostname(), "127.0.0.1", "localhost"):
        assert public.http("GET", SERVINGS, Host=f"{name}:{public.port}", **bearer)[0] == 200


def test_a_name_that_is_not_its_own_is_refused(public: Platform) -> None:
    bearer = {"Authorization": f"Bearer {public.token}"}
    status, body = public.http("GET", SERVINGS, Host="evil.example", **bearer)
    assert status == 404
    assert "start the platform with --name" in body
    assert public.http("GET", SERVINGS, Origin="http://evil.example", **bearer)[0] == 403
