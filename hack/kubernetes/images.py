"""Container images without an engine: archives of one layer, in the form that `docker save` writes."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

from hack.kubernetes.build import pause
from hack.kubernetes.packages import program

__all__ = ["BUSYBOX", "PAUSE", "write_busybox", "write_image", "write_pause"]

PAUSE = "klever.test/pause:1"
"""What holds a pod's namespaces."""
BUSYBOX = "klever.test/busybox:1"
"""A shell with httpd, wget and the like: enough to try pods with."""
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_FOLDERS = {"dev": 0o755, "etc": 0o755, "proc": 0o555, "sys": 0o555, "tmp": 0o1777}
_PATH = "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


def write_image(
    archive: Path,
    name: str,
    files: Mapping[str, Path],
    *,
    links: Mapping[str, str] | None = None,
    entrypoint: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    without: Collection[str] = (),
) -> None:
    """Write the archive of an image such as `klever.test/x:1`.

    `files` has the path in the image of each file or folder to copy, `links` symbolic links with their targets. Files
    and folders with a name or absolute path in `without` are left out. The same content yields the same archive. Use a
    tag other than `latest`: the kubelet would ask a registry for that.
    """
    layer = archive.with_suffix(".layer")
    _write_layer(layer, files, links or {}, without)
    with layer.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    environ = [_PATH, *(f"{key}={value}" for key, value in (environment or {}).items())]
    config = {
        "architecture": _MACHINES[platform.machine()],
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "Env": environ, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    encoded = json.dumps(config).encode()
    image = f"{hashlib.sha256(encoded).hexdigest()}.json"
    manifest = [{"Config": image, "RepoTags": [name], "Layers": [f"{digest}/layer.tar"]}]
    with tarfile.open(archive, "w") as tar:
        _add(tar, image, encoded)
        _add(tar, "manifest.json", json.dumps(manifest).encode())
        tar.add(layer, f"{digest}/layer.tar", filter=_plain)
    layer.unlink()


def write_pause(archive: Path) -> None:
    """Write the archive of `PAUSE`."""
    write_image(archive, PAUSE, {"pause": pause()}, entrypoint=["/pause"])


def write_busybox(archive: Path) -> None:
    """Write the archive of `BUSYBOX`."""
    busybox = program("busybox")
    listed = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    links = {f"bin/{applet}": "busybox" for applet in listed if applet != "busybox"}
    write_image(archive, BUSYBOX, {"bin/busybox": busybox}, links=links)


def _write_layer(layer: Path, files: Mapping[str, Path], links: Mapping[str, str], without: Collection[str]) -> None:
    def chosen(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if {PurePosixPath(info.name).name, f"/{info.name}"} & set(without) else _plain(info)

    with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as tar:
        for folder, mode in _FOLDERS.items():
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, mode
            tar.addfile(info)
        for path, source in sorted(files.items()):
            tar.add(source, path.strip("/") or ".", filter=chosen)
        for path, target in sorted(links.items()):
            info = tarfile.TarInfo(path.strip("/"))
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Owned by root and without a date, whoever built it and when."""
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
