"""The whole way from a model to a prediction on a platform of a user that is not root."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.platform import Platform, replicas, until

pytestmark = pytest.mark.root
USER = 23456
"""Nobody's user id."""
INSTALLED = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "klever" / "environments"
CHECKOUT = Path(__file__).parents[2]
NEEDED = (Path(sys.base_prefix).resolve(), CHECKOUT)


def mounts(root: Path, cache: Path) -> str:
    """Return a script that shows another user what it needs, for the processes of one mount namespace alone.

    Root's home is closed to others. It is replaced by a directory that holds what is needed of it.
    """
    pairs = [(path, cache / path.name) for path in INSTALLED.iterdir() if path.is_dir()]
    closed = {home: root / f"home{number}" for number, home in enumerate(filter(None, map(closed_parent, NEEDED)))}
    for home, stand_in in closed.items():
        pairs += [(path, stand_in / path.relative_to(home)) for path in NEEDED if path.is_relative_to(home)]
    for _, target in pairs:
        target.mkdir(parents=True, exist_ok=True)
    lines = [f"mount --bind {shlex.quote(str(source))} {shlex.quote(str(target))}" for source, target in pairs]
    lines += [
        f"mount --rbind {shlex.quote(str(stand_in))} {shlex.quote(str(home))}" for home, stand_in in closed.items()
    ]
    return "set -e; " + "; ".join((*lines, 'exec "$@"'))


def closed_parent(path: Path) -> Path | None:
    """Return the uppermost directory that other users cannot pass on their way to a path."""
    return next((parent for parent in reversed(path.parents) if not parent.stat().st_mode & 0o001), None)


@pytest.fixture
def platform() -> Iterator[Platform]:
    root = Path(tempfile.mkdtemp(prefix="klever-test-"))
    cache = root / "cache" / "klever" / "environments"
    cache.mkdir(parents=True)
    script = mounts(root, cache)
    for path in (root, *root.rglob("*")):
        shutil.chown(path, USER, USER)
    platform = Platform(root)
    platform.env |= {"HOME": str(root), "XDG_CACHE_HOME": str(root / "cache")}
    user = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all")
    platform.prefix = ("unshare", "-m", "sh", "-c", script, "sh", *user)
    yield platform
    platform.clean_up()
    shutil.rmtree(root)


def test_a_model_is_served_by_a_platform_that_is_not_root(platform: Platform) -> None:
    platform.start()
    platform.push("default/adder:v1")
    platform.run("klever", "deploy", "default/adder:v1", "--name", "adder", "--wait")
    status, body = platform.infer("adder")
    assert (status, '"data":[3.0,3.0,3.0,3.0,3.0]' in body) == (200, True)
    (process,) = until(lambda: replicas(platform))
    fields = dict(line.split(":\t", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    assert fields["Uid"].split() == [str(USER)] * 4
    assert (fields["CapEff"], fields["NoNewPrivs"]) == ("0" * 16, "1")
    assert "landlock" in (shown := platform.run("klever", "describe", "serving", "adder").stdout) or "full" in shown
