"""Files that the shim reads and writes, and the disk space of those that a payload writes."""

from __future__ import annotations

import fcntl
import os
import stat

from .names import MAX_MESSAGE

__all__ = ["MAX_FILES", "disk_use", "forget", "open_input", "read_message", "redirect", "unlinked", "write"]

MAX_FILES = 100_000
"""How many files a payload may write. The check of the disk space counts no more."""
_INPUTS_FROM = 64
"""Descriptors of inputs are above the numbers that a child uses for them."""
_SHARED_MEMORY = ("/memfd:", "/dev/zero (deleted)", "/dev/shm/")  # noqa: S108 - how proc(5) names it


def open_input(content: bytes) -> int:
    """Return a descriptor from which `content` can be read. No child uses its number."""
    file = os.memfd_create("input", os.MFD_CLOEXEC)
    os.write(file, content)
    os.lseek(file, 0, os.SEEK_SET)
    handle = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, _INPUTS_FROM)
    os.close(file)
    return handle


def redirect(path: str, *handles: int) -> None:
    """Redirect descriptors to a file, which is created if it is missing."""
    target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    for handle in handles:
        os.dup2(target, handle)
    os.close(target)


def write(path: str, content: str) -> None:
    """Write to a file of the kernel."""
    handle = os.open(path, os.O_WRONLY)
    try:
        os.write(handle, content.encode())
    finally:
        os.close(handle)


def read_message(path: str) -> str:
    """Return the termination message if it is a regular file: a payload could make it a link to another file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return ""
        return file.read(MAX_MESSAGE).decode(errors="replace").strip()


def forget(path: str) -> None:
    """Remove the termination message of an earlier run."""
    try:
        os.unlink(path)
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        pass  # a directory in its place has no message


def disk_use(directories: list[str]) -> tuple[int, int]:
    """Return the bytes on disk and the number of the files below directories, up to about `MAX_FILES`.

    Links are not followed. A directory that cannot be read (its path is too long, or it is closed) counts as too many
    files.
    """
    used = files = 0
    waiting = list(directories)
    while waiting and files <= MAX_FILES:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    files += 1
                    used += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue  # removed meanwhile
        except OSError:
            files += MAX_FILES + 1
    return used, files


def unlinked(pids: list[int]) -> tuple[int, int]:
    """Return the bytes of memory and of disk in deleted files that processes still use.

    Files that a process has mapped but not open are included if the shim is root (/proc/pid/map_files).
    """
    found: dict[tuple[int, int], tuple[bool, int]] = {}
    for path in (f"/proc/{pid}/{kind}" for pid in pids for kind in ("fd", "map_files")):
        try:
            names = os.listdir(path)
        except OSError:
            continue  # ended meanwhile, or belongs to another user
        for name in names:
            _note_unlinked(f"{path}/{name}", found)
    shared = sum(size for memory, size in found.values() if memory)
    return shared, sum(size for memory, size in found.values() if not memory)


def _note_unlinked(path: str, found: dict[tuple[int, int], tuple[bool, int]]) -> None:
    """Add a file to `found`, by device and inode, if it is deleted."""
    try:
        target = os.readlink(path)
        if not target.endswith(" (deleted)"):
            return
        status = os.stat(path)
    except OSError:
        return
    if stat.S_ISREG(status.st_mode) and not status.st_nlink:
        found[status.st_dev, status.st_ino] = (target.startswith(_SHARED_MEMORY), status.st_blocks * 512)
