"""oras's registry client with bounds: small requests only, deadlines, maximum sizes and one origin.

Unlike oras itself, it does not retry for minutes, read responses of any size, follow a page link to another host with
credentials, take `my.project/model` for a host, or log errors instead of raising them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Final

import requests
from oras.container import Container
from oras.provider import Registry
from urllib3.exceptions import HTTPError, ReadTimeoutError

from klever.errors import DeadlineError, UnavailableError
from klever.oci.auth import Authenticator, Session
from klever.oci.manifest import MAX_MANIFEST
from klever.oci.patience import Deadline, read_all
from klever.oci.registries import Endpoint
from klever.oci.responses import TransientError, response_error
from klever.oci.transport import origin

__all__ = ["Provider", "Repository"]

_CALL_SECONDS: Final = 60.0


class Repository(Container):  # type: ignore[misc]  # oras has no types
    """A repository of one registry, for oras's URLs."""

    def __init__(self, host: str, repository: str) -> None:
        self.registry, self.namespace, self.repository = host, None, repository
        self.tag, self.digest = "latest", None


class Provider(Registry):  # type: ignore[misc]  # oras has no types
    """oras's client of `endpoint`. `timeout` in seconds bounds each wait for data, a minute each call."""

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        super().__init__(hostname=endpoint.host, insecure=endpoint.plain_http, tls_verify=not endpoint.insecure)
        self.session = Session(endpoint, timeout)
        self.auth = Authenticator(endpoint, self.session)
        self.base = endpoint.base
        self._url = endpoint.url
        self._timeout = timeout
        self._until: Deadline | None = None

    def repository(self, name: str) -> Repository:
        return Repository(self.hostname, name)

    def url(self, path: str) -> str:
        """Return the URL of a path from oras's containers, which is an address without a scheme."""
        return f"{self.prefix}://{path}"

    def tags(self, repository: str) -> list[str]:
        """Return all tags, page by page, within one deadline."""
        self._until = Deadline(_CALL_SECONDS, self._timeout)
        try:
            tags: list[str] = self.get_tags(self.repository(repository))
        finally:
            self._until = None
        return tags

    def do_request(
        self,
        url: str,
        method: str = "GET",
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one request and return the response with its whole body. Answers one challenge.

        Raises `TransientError`, `UnavailableError` or `DeadlineError` if there is no response.
        """
        if origin(url) != origin(self.base):
            raise UnavailableError(f"{self.hostname}: refused to follow a redirect to another host, {url}")
        deadline = self._until or Deadline(_CALL_SECONDS, self._timeout)
        answer = self._send(url, method, data, headers or {}, deadline)
        if answer.status_code == 401 and self.auth.answer(answer.headers.get("WWW-Authenticate", "")):
            answer = self._send(url, method, data, headers or {}, deadline)
        return answer

    def _send(
        self, url: str, method: str, data: bytes | None, headers: Mapping[str, str], deadline: Deadline
    ) -> requests.Response:
        what = url.partition("://")[2]
        try:
            with self.session.request(
                method,
                url,
                data=data,
                headers={"Accept-Encoding": "identity", **headers, **self.auth.header()},
                timeout=deadline.left(what),
                allow_redirects=method in {"GET", "HEAD"},
                stream=True,
            ) as answer:
                return _read(answer, deadline, what)
        except (requests.Timeout, ReadTimeoutError) as error:
            raise DeadlineError(f"{what}: no answer within {self._timeout:.0f} s") from error
        except requests.exceptions.SSLError as error:
            raise UnavailableError(f"{what}: the certificate is not trusted: {_reason(error)}", reason="TLS") from error
        except requests.ConnectionError as error:
            raise TransientError(
                f"cannot reach a registry at {self._url}: {_reason(error)}", reason="UNREACHABLE"
            ) from error
        except (requests.RequestException, HTTPError, OSError) as error:
            raise TransientError(f"{what}: {_reason(error)}") from error

    def _check_200_response(self, response: requests.Response) -> None:
        """Raise the error of a response (oras's hook)."""
        if response.status_code not in {200, 201, 202}:
            raise response_error(response.status_code, response.content, str(response.url))


def _read(answer: requests.Response, deadline: Deadline, what: str) -> requests.Response:
    """Return a copy of the response with its whole body, which may be as large as a manifest."""
    body = io.BytesIO(read_all(answer, MAX_MANIFEST, deadline, what))
    whole = requests.Response()
    whole.status_code, whole.headers, whole.url, whole.raw = answer.status_code, answer.headers, answer.url, body
    return whole


def _reason(error: BaseException) -> str:
    """Return the first cause in words: `Connection refused`, not the error of the connection pool."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
