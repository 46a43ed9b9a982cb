"""The secrets of tasks: each reaches the registries that it names, and no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from klever.auth.task_tokens import derive_key, verify
from klever.cmd.provisions import EmbeddedRegistry, Provisions
from klever.executors import RegistryAccess, Task
from klever.limits import DEFAULTS
from klever.process import Network

NOW = datetime.now(UTC)
TABLE = {"harbor.example": {"url": "https://harbor.example"}, "other.example": {"url": "https://other.example"}}


def provide(*registries: RegistryAccess) -> tuple[dict[str, set[str]], set[str], Network]:
    """Return what the task's token grants, the other registries that it is told of, and its network."""
    provisions = Provisions(EmbeddedRegistry(Path("/run/registry.sock"), "secret"), TABLE, DEFAULTS, lambda: NOW)
    given = provisions(Task("team", "job", "uid", "module", {}, registries=registries, timeout_s=60))
    own = given.secrets["platform"]
    grants: dict[str, set[str]] = {}
    if own:  # a token outlives its task: a task that is out of time still pushes its last layer
        token = verify(derive_key("secret"), own["token"], NOW + timedelta(seconds=61))
        grants = {repository: set(verbs) for repository, verbs in token.grants.items()}
    return grants, set(given.secrets["entries"]), given.network


def test_a_task_gets_a_token_for_its_repositories_and_no_network() -> None:
    read, write = RegistryAccess("", "team/m"), RegistryAccess("", "team/n", push=True)
    assert provide(read, write) == ({"team/m": {"pull"}, "team/n": {"pull", "push"}}, set(), Network.LOCAL)


def test_reading_and_writing_one_repository_is_one_grant() -> None:
    read, write = RegistryAccess("", "team/m"), RegistryAccess("", "team/m", push=True)
    assert provide(write, read)[0] == {"team/m": {"pull", "push"}}


def test_a_task_of_another_registry_is_told_of_that_alone() -> None:
    assert provide(RegistryAccess("harbor.example", "team/m", push=True)) == ({}, {"harbor.example"}, Network.FULL)


def test_a_task_reads_plugins_wherever_they_are_installed() -> None:
    registry = EmbeddedRegistry(Path("/run/registry.sock"), "secret")
    provisions = Provisions(registry, TABLE, DEFAULTS, lambda: NOW, plugins=(Path("/src/toy"),))
    assert Path("/src/toy") in provisions(Task("team", "job", "uid", "module", {})).read
