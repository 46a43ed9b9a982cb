"""HTTP/2 as an attacker writes it: one raw gRPC request, with headers and bytes that no client library would send."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache

__all__ = ["HeldRequest", "Request", "compressed", "reset_rapidly"]

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_INITIAL_WINDOW_SIZE = 4
_CANCEL = 8
_FRAME = 16_384
_WINDOW = 65_535


def compressed(message: bytes) -> bytes:
    """Frame a gRPC message that is compressed by gzip."""
    content = gzip.compress(message)
    return b"\1" + struct.pack(">I", len(content)) + content


def reset_rapidly(port: int, path: str, streams: int) -> bool:
    """Open streams on one connection, and reset each at once. Return whether the server ended the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        try:
            connection.sendall(_resets(port, path, streams))
            while connection.recv(1 << 16):
                pass  # answers, then the end
        except TimeoutError:
            return False
        except (BrokenPipeError, ConnectionResetError):
            pass
    return True


@cache
def _resets(port: int, path: str, streams: int) -> bytes:
    block, message, reason = _block(_grpc(port, path)), bytes(5), _CANCEL.to_bytes(4)
    frames = [_PREFACE, _frame(_SETTINGS, 0, b"", 0)]
    for number in range(1, 2 * streams, 2):
        frames += [
            _frame(_HEADERS, _END_HEADERS, block, number),
            _frame(_DATA, _END_STREAM, message, number),
            _frame(_RESET, 0, reason, number),
        ]
    return b"".join(frames)


class Request:
    """One request on a connection of its own; `answered` tells whether there was an answer."""

    def __init__(self, port: int, path: str, body: bytes, **headers: str) -> None:
        self.answered = False
        self._ended = False
        self._windows = [_WINDOW, _WINDOW]
        """Bytes that the connection, and the stream, may still send."""
        fields = _grpc(port, path) | {name.replace("_", "-"): value for name, value in headers.items()}
        with socket.create_connection(("127.0.0.1", port), timeout=60) as self._connection:
            self._reader = self._connection.makefile("rb")
            self._connection.sendall(_PREFACE + _frame(_SETTINGS, 0, b"", 0))
            self._send(_HEADERS, _END_HEADERS, _block(fields))
            self._read()
            self._write(memoryview(body))
            while not self._ended:
                self._read()
            self._reader.close()

    def _write(self, body: memoryview) -> None:
        while body and not self._ended:
            size = min(_FRAME, len(body), *self._windows)
            if size <= 0:
                self._read()
                continue
            self._send(_DATA, _END_STREAM if size == len(body) else 0, bytes(body[:size]))
            self._windows = [window - size for window in self._windows]
            body = body[size:]

    def _send(self, kind: int, flags: int, content: bytes) -> None:
        try:
            self._connection.sendall(_frame(kind, flags, content, 1))
        except (BrokenPipeError, ConnectionResetError):
            self._ended = True

    def _read(self) -> None:
        """Read one frame, and do what it asks for."""
        head = self._reader.read(9)
        if len(head) < 9:
            self._ended = True
            return
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        content = self._reader.read(int.from_bytes(head[:3], "big"))
        if kind == _SETTINGS and not flags & _ACK:
            settings = dict(struct.iter_unpack(">HI", content))
            self._windows[1] += settings.get(_INITIAL_WINDOW_SIZE, _WINDOW) - _WINDOW
            self._connection.sendall(_frame(_SETTINGS, _ACK, b"", 0))
        elif kind == _PING and not flags & _ACK:
            self._connection.sendall(_frame(_PING, _ACK, content, 0))
        elif kind == _WINDOW_UPDATE:
            self._windows[1 if stream else 0] += int.from_bytes(content, "big")
        self.answered |= kind == _HEADERS
        self._ended |= kind in (_RESET, _GOAWAY) or (kind in (_HEADERS, _DATA) and bool(flags & _END_STREAM))


class HeldRequest:
    """One connection with one request, on stream 1, that is sent as slowly and in as small pieces as one likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._windows = {0: _WINDOW, 1: _WINDOW}
        self._room = asyncio.Event()
        self.answer = bytearray()
        self.ended = asyncio.Event()
        """The answer has ended, or the request was refused."""
        self._receiving = asyncio.create_task(self._receive())

    @classmethod
    async def post(cls, port: int, path: str, *headers: tuple[str, str]) -> HeldRequest:
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        client._writer.write(_PREFACE + _frame(_SETTINGS, 0, b"", 0))
        client._writer.write(_frame(_HEADERS, _END_HEADERS, _block(_post(port, path) | dict(headers)), 1))
        return client

    async def send(self, pieces: Iterable[bytes], *, end: bool = False) -> None:
        """Send each piece as a DATA frame; stops early if the request was refused."""
        for piece in pieces:
            while min(self._windows.values()) < len(piece) and not self.ended.is_set():
                self._room.clear()
                await self._room.wait()
            if self.ended.is_set():
                return
            for stream in self._windows:
                self._windows[stream] -= len(piece)
            self._writer.write(_frame(_DATA, 0, piece, 1))
            if self._writer.transport.get_write_buffer_size() > 1 << 16:
                await self._writer.drain()
        if end:
            self._writer.write(_frame(_DATA, _END_STREAM, b"", 1))

    async def close(self) -> None:
        self._receiving.cancel()
        await asyncio.gather(self._receiving, return_exceptions=True)
        self._writer.transport.abort()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def _receive(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(9)
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:])
                content = await self._reader.readexactly(int.from_bytes(head[:3]))
                self._take(kind, flags, stream, content)
        except (OSError, EOFError):
            self._end()

    def _take(self, kind: int, flags: int, stream: int, content: bytes) -> None:
        if kind == _SETTINGS and not flags:
            for offset in range(0, len(content), 6):
                name, value = struct.unpack_from(">HI", content, offset)
                if name == _INITIAL_WINDOW_SIZE:
                    self._windows[1] += value - _WINDOW
            self._writer.write(_frame(_SETTINGS, _ACK, b"", 0))
        elif kind == _WINDOW_UPDATE and stream in self._windows:
            self._windows[stream] += int.from_bytes(content)
        elif kind == _DATA:
            self.answer += content
        self._room.set()
        if kind in (_RESET, _GOAWAY) or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
            self._end()

    def _end(self) -> None:
        self.ended.set()
        self._room.set()


def _frame(kind: int, flags: int, content: bytes, stream: int) -> bytes:
    return len(content).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + content


def _post(port: int, path: str) -> dict[str, str]:
    return {":method": "POST", ":scheme": "http", ":path": path, ":authority": f"127.0.0.1:{port}"}


def _grpc(port: int, path: str) -> dict[str, str]:
    return _post(port, path) | {"content-type": "application/grpc", "te": "trailers"}


def _block(fields: Mapping[str, str]) -> bytes:
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())


def _text(text: str) -> bytes:
    """Write a literal of HPACK (RFC 7541, 5.2) of less than 127 bytes."""
    return bytes((len(text),)) + text.encode()
