"""Uploads and downloads blobs: streamed, with bounded memory, resumed after a disconnect, with bounded retries."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from klever.disk import disk_errors
from klever.errors import IntegrityError, UnavailableError
from klever.oci import mediatypes
from klever.oci.blobs import BLOCK, BlobWriter
from klever.oci.manifest import Descriptor
from klever.oci.patience import Deadline
from klever.oci.progress import Progress
from klever.oci.redirects import follow
from klever.oci.responses import TransientError
from klever.oci.transport import Body, Response, Transport

__all__ = ["Transfer"]

_SLOWEST: Final = 64 << 10  # bytes per second of the slowest transfer that meets its deadline
_SMALL: Final = 1 << 20  # up to this size one PUT sends the whole blob; larger ones can resume
_RETRIES: Final = 5
_FIRST_PAUSE: Final = 0.1
_OCTETS: Final = {"Content-Type": mediatypes.OCTET_STREAM}
_RANGE_END: Final = re.compile(r"(?:bytes=)?0-(\d+)")
_CONTENT_RANGE_START: Final = re.compile(r"bytes (\d+)-")


class Transfer:
    """Moves blobs over `transport`. `timeout` in seconds bounds each wait for data."""

    def __init__(self, transport: Transport, timeout: float, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._transport = transport
        self._timeout = timeout
        self._sleep = sleep

    def download(self, url: str, blob: Descriptor, writer: BlobWriter, progress: Progress) -> None:
        """Download `blob` from `url` into `writer`, continuing after the bytes that `writer` already has.

        Raises `TransientError` after 5 retries without a byte of progress, `DeadlineError`, or the writer's errors.
        """
        deadline, retries = self._deadline(blob), _Retries(self._sleep)
        while writer.written < blob.size:
            before = writer.written
            try:
                self._receive(url, blob, writer, progress, deadline)
            except TransientError as error:
                retries.after(error, progressed=writer.written > before)

    def upload(self, start: Callable[[], str | None], blob: Descriptor, path: Path, progress: Progress) -> None:
        """Upload the file `path` as `blob`. `start` opens an upload and returns its URL, None if none is needed.

        Raises `TransientError` after 5 retries without progress, `IntegrityError` if the content does not match its
        digest.
        """
        deadline, retries = self._deadline(blob), _Retries(self._sleep)
        source = _Source(path, blob.size, progress)
        url, offset = start(), 0
        while url is not None:
            try:
                self._put(url, blob, source, offset, deadline)
                break
            except TransientError as error:
                retries.after(error)
                url, resumed = self._resume_when_possible(url, start, retries, deadline)
                retries.reset(progressed=resumed > offset)
                offset = resumed
        progress(blob.size, blob.size)

    def _receive(self, url: str, blob: Descriptor, writer: BlobWriter, progress: Progress, deadline: Deadline) -> None:
        offset = writer.written
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        with self._transport.request("GET", url, deadline, headers=headers) as response:
            _skip_to(offset, response.expect(200, 206))
            while block := response.read():
                writer.write(block)
                progress(writer.written, blob.size)
        if writer.written < blob.size:
            raise TransientError(f"GET {url}: the connection ended after {writer.written} of {blob.size} bytes")

    def _put(self, url: str, blob: Descriptor, source: _Source, offset: int, deadline: Deadline) -> None:
        if blob.size > _SMALL:
            url = self._patch(url, source, offset, deadline)
            offset = blob.size
        url = f"{url}{'&' if '?' in url else '?'}{urlencode({'digest': blob.digest})}"
        with self._transport.request("PUT", url, deadline, headers=_OCTETS, body=source.body(offset)) as response:
            told = response.expect(201, 204).headers.get("Docker-Content-Digest", blob.digest)
        if told != blob.digest:
            raise IntegrityError(f"the registry stored {told} instead of {blob.digest}")

    def _patch(self, url: str, source: _Source, offset: int, deadline: Deadline) -> str:
        """Send the missing bytes as one chunk, as Docker does. Return the URL that closes the upload."""
        headers = {**_OCTETS, "Content-Range": f"{offset}-{source.size - 1}"} if offset else _OCTETS
        with self._transport.request("PATCH", url, deadline, headers=headers, body=source.body(offset)) as response:
            return follow(url, response.expect(202).headers.get("Location", ""))

    def _resume_when_possible(
        self, url: str, start: Callable[[], str | None], retries: _Retries, deadline: Deadline
    ) -> tuple[str | None, int]:
        while True:
            try:
                return self._resume(url, start, deadline)
            except TransientError as error:
                retries.after(error)

    def _resume(self, url: str, start: Callable[[], str | None], deadline: Deadline) -> tuple[str | None, int]:
        """Return the URL and offset to continue from. Restart the upload if the registry has lost it."""
        with self._transport.request("GET", url, deadline) as response:
            end = _RANGE_END.fullmatch(response.headers.get("Range", ""))
            if response.status == 204 and end and int(end[1]):  # `0-0`: zero bytes arrived, or one
                return follow(url, response.headers.get("Location", url)), int(end[1]) + 1
        return start(), 0

    def _deadline(self, blob: Descriptor) -> Deadline:
        return Deadline(self._timeout * (1 + _RETRIES) + blob.size / _SLOWEST, self._timeout)


class _Retries:
    """Counts consecutive failures, and pauses longer after each."""

    def __init__(self, sleep: Callable[[float], None]) -> None:
        self._sleep = sleep
        self._failures = 0

    def after(self, error: TransientError, *, progressed: bool = False) -> None:
        """Pause, or raise `error` after too many failures."""
        self.reset(progressed=progressed)
        self._failures += 1
        if self._failures > _RETRIES:
            raise error
        self._sleep(_FIRST_PAUSE * 2**self._failures)

    def reset(self, *, progressed: bool) -> None:
        if progressed:
            self._failures = 0


def _skip_to(offset: int, response: Response) -> None:
    """Skip the response's body up to `offset`: registries without ranges send the blob from its beginning."""
    if response.status == 206:
        start = _CONTENT_RANGE_START.match(response.headers.get("Content-Range", ""))
        if start is None or int(start[1]) != offset:
            raise UnavailableError(f"{response.url}: requested the bytes from {offset} on, but received others")
        return
    while offset:
        block = response.read(min(offset, BLOCK))
        if not block:
            raise TransientError(f"{response.url}: the connection ended early")
        offset -= len(block)


@dataclass(frozen=True, slots=True)
class _Source:
    """A blob's file during its upload."""

    path: Path
    size: int
    progress: Progress

    def body(self, offset: int) -> Body:
        """Return the bytes from `offset` on as a body that keeps one block in memory."""

        def write(send: Callable[[memoryview], None]) -> None:
            done, block = offset, memoryview(bytearray(BLOCK))
            with self._open(offset) as file:
                while done < self.size:
                    with disk_errors(self.path):
                        count = file.readinto(block[: self.size - done])
                    if not count:
                        raise IntegrityError(f"{self.path} has {done} bytes, expected {self.size}")
                    send(block[:count])
                    done += count
                    self.progress(done, self.size)

        return Body(self.size - offset, write)

    def _open(self, offset: int) -> FileIO:
        with disk_errors(self.path):
            file = FileIO(self.path)
            file.seek(offset)
        return file
