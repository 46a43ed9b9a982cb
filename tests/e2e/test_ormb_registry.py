"""The real `ormb` against the real embedded registry, each in a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from klever.artifacts import model
from klever.artifacts.dialects import ormb
from klever.errors import ConflictError
from klever.oci import mediatypes
from klever.oci.client import RegistryClient
from klever.oci.layout import Layout
from klever.oci.manifest import Descriptor, Manifest
from klever.oci.reference import Reference
from klever.oci.registries import Credentials, Endpoint

TESTS = Path(__file__).parents[1]
SHARED = Path(os.environ.get("KLEVER_SHARED", TESTS.parents[1] / "shared"))
ORMB = Path(sys.executable).parent / "ormb"
TOKEN = "secret"
# A small process between: a child's peak begins with what its parent holds.
MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(f"peak:{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}", file=sys.stderr)
sys.exit(code)
"""
PLATFORM = {"KLEVER_TOKEN": TOKEN}


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str
    peak_mib: float


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HOST:PORT of an embedded registry that wants the token for writing."""
    root = tmp_path_factory.mktemp("registry")
    command: list[str | Path] = [sys.executable, TESTS / "unit/registry/serve.py", root]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.terminate()
        assert process.wait(30) == 0


@dataclass
class User:
    """Somebody with a home directory and a shell."""

    home: Path
    registry: str

    def ormb(self, *arguments: str | Path, stdin: str = "", **environ: str) -> Ended:
        environment = {
            "HOME": str(self.home), "PATH": os.environ["PATH"], "KLEVER_SERVER": self.registry, **environ,
        }  # fmt: skip
        process = subprocess.run(
            [sys.executable, "-c", MEASURED, ORMB, *arguments],
            env=environment, cwd=self.home, input=stdin, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        err, _, peak_kib = process.stderr.rpartition("peak:")
        return Ended(process.returncode, process.stdout, err, int(peak_kib) / 1024)

    def done(self, *arguments: str | Path, stdin: str = "", **environ: str) -> Ended:
        ended = self.ormb(*arguments, stdin=stdin, **environ)
        assert ended.code == 0, ended.err
        assert ended.err == ""
        return ended

    def model(self, name: str) -> Path:
        return Path(shutil.copytree(SHARED / "models" / name, self.home / name))


@pytest.fixture
def user(tmp_path: Path, registry: str) -> User:
    (tmp_path / "user").mkdir()
    return User(tmp_path / "user", registry)


@pytest.fixture
def other(tmp_path: Path, registry: str) -> User:
    (tmp_path / "other").mkdir()
    return User(tmp_path / "other", registry)


def test_a_model_goes_from_one_user_to_another(user: User, other: User) -> None:
    ref = f"{user.registry}/travel/savedmodel:v1"
    saved = user.done("save", user.model("savedmodel"), ref)
    lines = re.fullmatch(
        rf"ref:     {re.escape(ref)}\ndigest:  sha256:[0-9a-f]{{64}}\ncontent: sha256:[0-9a-f]{{64}}\n"
        r"size:    [\d.]+ KiB\nformat:  SavedModel\nv1: saved\n",
        saved.out,
    )
    assert lines, saved.out
    described = saved.out.removesuffix("v1: saved\n")
    size = re.findall("size:    (.*)", described)[0]

    pushed = user.done("push", ref, **PLATFORM)
    assert pushed.out == (
        f"The push refers to repository [{user.registry}/travel/savedmodel]\n{described}"
        f"v1: pushed to remote (1 layer, {size} total)\n"
    )
    pulled = other.done("pull", ref)
    name = f"{user.registry}/travel/savedmodel"
    assert pulled.out == f"v1: Pulling from {name}\n{described}Status: Downloaded newer model for {ref}\n"
    assert other.done("pull", ref).out.endswith(f"Status: Model is up to date for {ref}\n")
    assert other.done("export", ref, "-d", "here").out == described
    assert files(other.home / "here/model") == files(SHARED / "models/savedmodel/model")

    other.done("tag", ref, "mine/savedmodel:copy")
    listed = other.done("models").out.splitlines()
    assert [line.split()[:3] for line in listed] == [
        ["REPOSITORY", "TAG", "FORMAT"], [name, "v1", "SavedModel"], ["mine/savedmodel", "copy", "SavedModel"],
    ]  # fmt: skip
    assert other.done("remove", ref).out == "v1: removed\n"
    other.done("remove", "mine/savedmodel:copy")
    assert not list((other.home / ".ormb/cache/blobs/sha256").iterdir())


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_without_a_host_it_is_the_platforms_registry(user: User, other: User) -> None:
    user.done("save", user.model("onnx"), "home/add")
    user.done("push", "home/add", **PLATFORM)
    assert "ref:     home/add:latest\n" in other.done("pull", "home/add").out
    settings = other.home / ".config/klever/config.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"servers: {{{user.registry}: {{token: {TOKEN}}}}}\n")
    other.done("tag", "home/add", f"{user.registry}/home/add:v2")
    other.done("push", f"{user.registry}/home/add:v2")
    assert RegistryClient(Endpoint("", f"http://{user.registry}")).tags("home/add") == ["latest", "v2"]


def test_login_is_checked_kept_and_forgotten(user: User) -> None:
    user.done("save", user.model("onnx"), "home/login:v1")
    refused = user.ormb("push", "home/login:v1")
    assert (refused.code, len(refused.err.splitlines())) == (5, 1)
    assert "log in with `ormb login HOST`" in refused.err
    wrong = user.ormb("login", user.registry, "-u", "me", "--password-stdin", stdin="wrong\n")
    assert wrong.code == 5
    assert not (user.home / ".ormb/config.json").exists()
    assert user.done("login", "-u", "me", "--password-stdin", stdin=f"{TOKEN}\n").out == "Login succeeded\n"
    assert (user.home / ".ormb/config.json").stat().st_mode & 0o777 == 0o600
    user.done("push", "home/login:v1")
    user.done("logout", user.registry)
    assert user.ormb("push", "home/login:v1").code == 5


@pytest.mark.parametrize(
    ("relayout", "place"), [([], "1"), (["--relayout=true"], "1"), (["--relayout=false"], "model")]
)
def test_the_storage_initializer_may_run_again(user: User, relayout: list[str], place: str) -> None:
    ref = f"{user.registry}/home/init:v1"
    user.done("save", user.model("onnx"), ref)
    user.done("push", ref, **PLATFORM)
    for _ in range(2):
        user.done("pull-and-export", ref, "store", *relayout, ORMB_USERNAME="any", ORMB_PASSWORD=TOKEN)
        assert (user.home / "store" / place / "model.onnx").read_bytes() == (
            SHARED / "models/onnx/model/model.onnx"
        ).read_bytes()
        assert not [path for path in (user.home / "store").iterdir() if path.name.startswith(".")]


def test_mlflow_is_laid_out_one_level_up(user: User) -> None:
    (user.home / "flow/model/data").mkdir(parents=True)
    (user.home / "flow/model/MLmodel").write_text("flavors: {}\n")
    (user.home / "flow/model/data/weights").write_text("w")
    user.done("save", "flow", "home/flow:v1")
    user.done("push", "home/flow:v1", **PLATFORM)
    user.done("pull-and-export", "home/flow:v1", "store")
    assert set(files(user.home / "store")) == {"MLmodel", "data/weights"}


def test_missing_models_and_foreign_manifests_are_refused(user: User, tmp_path: Path) -> None:
    client = RegistryClient(Endpoint("", f"http://{user.registry}", Credentials(token=TOKEN)))
    layout = Layout(tmp_path / "image")
    config = layout.put(mediatypes.IMAGE_CONFIG, b"{}")
    client.put_blob("home/image", config, layout.blob_path(config.digest))
    manifest = Manifest(config, (), mediatypes.IMAGE_MANIFEST).encode()
    client.put_manifest("home/image", "v1", manifest, mediatypes.IMAGE_MANIFEST)
    image = user.ormb("pull", "home/image:v1")
    assert (image.code, image.err.startswith("ormb: home/image:v1 is a container image")) == (6, True)
    for ref in ("home/image:v2", "home/nothing:v1"):
        missing = user.ormb("pull", ref)
        assert (missing.code, len(missing.err.splitlines())) == (3, 1)


def test_the_tag_of_a_job_is_only_moved_if_nobody_else_moved_it(user: User) -> None:
    user.done("save", user.model("onnx"), "home/cas:v1")
    user.done("push", "home/cas:v1", **PLATFORM)
    client = RegistryClient(Endpoint("", f"http://{user.registry}", Credentials(token=TOKEN)))
    layout, ref = Layout(user.home / ".ormb/cache"), Reference.parse("home/cas:v1")
    before = model.inspect(ref, layout)
    mine = model.rewrite(ref, layout, replace(before.metadata, description="mine"))
    for _ in range(2):  # the answer to the first may have been lost
        model.push(ref, layout, client, expected=before.manifest.digest)
    model.rewrite(ref, layout, replace(before.metadata, description="too late"))
    with pytest.raises(ConflictError, match=f"names {mine.manifest.digest}"):
        model.push(ref, layout, client, expected=before.manifest.digest)
    assert client.get_digest("home/cas", "v1") == mine.manifest.digest
    assert mine.digest == before.digest


@pytest.mark.parametrize("name", ["onnx", "pmml", "savedmodel"])
def test_artifacts_of_the_original_travel_unchanged(user: User, other: User, name: str) -> None:
    layout = Layout(Path(shutil.copytree(SHARED / f"artifacts/ormb-{name}", user.home / ".ormb/cache")))
    layout.tag(f"originals/{name}:v1", layout.resolve("v1"))
    user.done("push", f"originals/{name}:v1", **PLATFORM)
    other.done("pull", f"originals/{name}:v1")
    pulled = Layout(other.home / ".ormb/cache")
    digest = layout.resolve("v1").digest
    assert pulled.blob_path(digest).read_bytes() == layout.blob_path(digest).read_bytes()
    other.done("export", f"originals/{name}:v1")
    assert files(other.home / "model") == files(SHARED / f"models/{name}/model")


class CuttingProxy(threading.Thread):
    """Between a client and `target` (HOST:PORT): breaks a connection after each number of bytes of `cuts`."""

    def __init__(self, target: str, cuts: list[int]) -> None:
        super().__init__(daemon=True)
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._cuts = cuts
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"

    def run(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            upstream = socket.create_connection(self._target)
            for source, sink in ((client, upstream), (upstream, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.join()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        passed = 0
        try:
            while block := source.recv(64 << 10):
                passed += len(block)
                if self._cuts and passed > self._cuts[0]:
                    self._cuts.pop(0)
                    break
                sink.sendall(block)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        source.close()


def test_a_cut_line_costs_only_what_was_not_there_yet(user: User, other: User) -> None:
    (user.home / "big/model").mkdir(parents=True)
    (user.home / "big/model/weights.pickle").write_bytes(os.urandom(24 << 20))
    cuts = [5 << 20, 3 << 20]
    proxy = CuttingProxy(user.registry, cuts)
    proxy.start()
    try:
        ref = f"{proxy.address}/home/cut:v1"
        user.done("save", "big", ref)
        (user.home / ".ormb/registries.yaml").write_text(json.dumps({"registries": {proxy.address: {"token": TOKEN}}}))
        user.done("push", ref)
        assert cuts == []
        cuts += [7 << 20, 2 << 20]
        other.done("pull", ref)
        assert cuts == []
        other.done("export", ref)
    finally:
        proxy.stop()
    assert files(other.home / "model") == files(user.home / "big/model")


def test_half_a_gigabyte_in_little_memory(user: User, other: User) -> None:
    size, digest = 512 << 20, hashlib.sha256()
    path = user.home / "large/model/weights.pickle"
    path.parent.mkdir(parents=True)
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for index in range(size >> 20):
            digest.update(part := block[index:] + block[:index])
            file.write(part)
    peaks = [
        user.done("save", "large", "home/large:v1").peak_mib,
        user.done("push", "home/large:v1", **PLATFORM).peak_mib,
        other.done("pull", "home/large:v1").peak_mib,
        other.done("export", "home/large:v1").peak_mib,
    ]
    assert max(peaks) < 100, peaks
    with (other.home / "model/weights.pickle").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == digest.digest()
    print("peaks, MiB:", peaks)


@pytest.fixture
def small_disk(user: User) -> list[str | Path]:
    """What puts a command's cache on a disk of 8 MiB of its own."""
    inside = (
        'mount -t tmpfs -o size=8m none "$ROOTPATH" && "$@"; code=$?; "$ORMB" models; ls -A "$ROOTPATH"/cache/blobs/*'
    )
    space = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*space, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here")
    return [*space, "sh", "-c", f"{inside}; exit $code", "sh"]


def test_a_full_disk_is_said_and_leaves_nothing(user: User, small_disk: list[str | Path]) -> None:
    (user.home / "big/model").mkdir(parents=True)
    (user.home / "big/model/weights.pickle").write_bytes(os.urandom(16 << 20))
    (user.home / "root").mkdir()
    ended = subprocess.run(
        [*small_disk, ORMB, "save", "big", "home/full:v1"],
        env={"HOME": str(user.home), "PATH": os.environ["PATH"], "ROOTPATH": f"{user.home}/root", "ORMB": str(ORMB)},
        cwd=user.home, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert ended.returncode == 8, ended
    assert re.fullmatch(r"ormb: .*: the disk is full; free some disk space, .*\n", ended.stderr)
    assert ended.stdout.splitlines() == ["REPOSITORY  TAG  FORMAT  DIGEST  CREATED  SIZE"]


def test_two_pulls_into_one_cache(user: User, other: User) -> None:
    user.done("save", user.model("pmml"), "home/twice:v1")
    user.done("push", "home/twice:v1", **PLATFORM)
    ended: list[Ended] = []
    threads = [threading.Thread(target=lambda: ended.append(other.ormb("pull", "home/twice:v1"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [x.code for x in ended] == [0] * 4
    other.done("export", "home/twice:v1")


def test_a_push_announces_exactly_what_was_saved(user: User) -> None:
    user.done("save", user.model("onnx"), "home/exact:v1")
    user.done("push", "home/exact:v1", **PLATFORM)
    fetched = RegistryClient(Endpoint("", f"http://{user.registry}")).get_manifest("home/exact", "v1")
    assert fetched.media_type == mediatypes.IMAGE_MANIFEST
    document = json.loads(fetched.content)
    assert list(document) == ["schemaVersion", "config", "layers"]
    assert document["config"]["mediaType"] == ormb.CONFIG
    assert [Descriptor.from_json(x, "layer").media_type for x in document["layers"]] == [ormb.LAYER]
