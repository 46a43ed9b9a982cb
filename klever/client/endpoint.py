"""Requests to a Serving at its URL."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from klever.client.settings import Settings
from klever.errors import FailedPreconditionError, InvalidError, KleverError, NotFoundError, UnavailableError

__all__ = ["Endpoint"]


class Endpoint:
    """The URL of a Serving."""

    def __init__(self, settings: Settings, serving: Any, headers: Mapping[str, str], timeout: float) -> None:
        """Raise `FailedPreconditionError` if the Serving has no URL yet. `timeout` is in seconds."""
        if not serving.status.url:
            name = serving.metadata.name
            raise FailedPreconditionError(f"serving {name} has no URL yet: run `klever describe serving {name}`")
        self.runtime: str = next((p.runtime for p in serving.status.predictors if p.runtime), "")
        """The runtime of its first predictor; empty until it is known."""
        self._url = urlsplit(serving.status.url)
        self._server = urlsplit(settings.url)
        token = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
        self._headers = {"Content-Type": "application/json", **token, **headers}
        self._ca = settings.ca
        self._timeout = timeout

    def ask(self, method: str, path: str, body: bytes | None = None) -> str:
        """Return the response to a request below its URL. Raises a `KleverError` for an error response."""
        with self._answer(method, path, body) as response:
            return response.read().decode(errors="replace")

    def lines(self, path: str, body: bytes) -> Iterator[str]:
        """Yield the lines of the response to a POST as they arrive. Raises the errors of `ask`."""
        with self._answer("POST", path, body) as response:
            for line in response:
                yield line.decode(errors="replace").rstrip("\r\n")

    @contextmanager
    def _answer(self, method: str, path: str, body: bytes | None) -> Iterator[http.client.HTTPResponse]:
        connection = self._connection()
        try:
            connection.request(method, self._url.path + path, body, self._headers)
            response = connection.getresponse()
            if response.status >= 400:
                raise _error(response.status, response.read().decode(errors="replace"))
            yield response
        except ValueError as error:
            raise InvalidError(f"cannot send the request: {error}") from error
        except (OSError, http.client.HTTPException) as error:
            raise _connection_error(self._server.netloc, error) from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._server.scheme == "http":
            return http.client.HTTPConnection(self._server.netloc, timeout=self._timeout)
        trust = ssl.create_default_context(cafile=self._ca)
        return http.client.HTTPSConnection(self._server.netloc, timeout=self._timeout, context=trust)


def _connection_error(server: str, error: Exception) -> KleverError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return UnavailableError(f"{server}: the certificate is not trusted: {error.verify_message}", reason="TLS")
    return UnavailableError(f"no answer from {server}: {str(error) or type(error).__name__}")


def _error(status: int, text: str) -> KleverError:
    message = (
        f"HTTP {status}: {text.strip()[:2000] or 'the response is empty; run `klever describe serving` for details'}"
    )
    if status == 404:
        return NotFoundError(message)
    return UnavailableError(message) if status in (502, 503, 504) else InvalidError(message)
