"""Authentication to one registry: oras's token protocol, which sends credentials to trusted hosts only."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from oras.auth.token import TokenAuth
from oras.auth.utils import authHeader
from urllib3.exceptions import HTTPError

from klever.errors import UnauthenticatedError
from klever.oci.patience import Deadline, ImpatientAdapter, read_all
from klever.oci.redirects import follow
from klever.oci.registries import Endpoint, check_credentials, may_carry_credentials
from klever.oci.sockets import SocketAdapter

__all__ = ["Authenticator", "Session"]

_MAX_TOKEN_ANSWER: Final = 1 << 20
_TOKEN_SECONDS: Final = 60.0


class Session(requests.Session):
    """A session with a timeout for every request, which reads nothing from the environment.

    (requests would add credentials from ~/.netrc and proxies from environment variables.)
    """

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        super().__init__()
        self.trust_env = False
        self.verify = False if endpoint.insecure else True if endpoint.ca is None else str(endpoint.ca)
        self._timeout = timeout
        for scheme in ("http://", "https://"):
            self.mount(scheme, ImpatientAdapter())
        if endpoint.socket is not None:
            self.mount(f"{endpoint.base}/", SocketAdapter(endpoint.socket))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        return None if target is None else follow(resp.url, target)

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("timeout", self._timeout)
        return super().request(*args, **kwargs)


class Authenticator(TokenAuth):  # type: ignore[misc]  # oras has no types
    """Answers a registry's challenges.

    A configured bearer token goes only to the registry. User name and password go to the registry, and to a token realm
    only on the registry's own host or on one of the endpoint's `realms`, never from https to http. Any other realm is
    asked for an anonymous token. Raises `FailedPreconditionError` if the endpoint's credentials would travel in plain
    text.
    """

    def __init__(self, endpoint: Endpoint, session: Session) -> None:
        super().__init__()
        check_credentials(endpoint)
        self._endpoint = endpoint
        self.session = session
        self.prefix = "http" if endpoint.plain_http else "https"
        self._tls_verify = session.verify
        credentials = endpoint.credentials
        self._given_token = credentials.token if credentials else ""
        self._basic_auth = ""
        if credentials and not credentials.token:
            pair = f"{credentials.username}:{credentials.password}"
            self._basic_auth = base64.b64encode(pair.encode()).decode()
        self._header: dict[str, str] = {"Authorization": f"Bearer {self._given_token}"} if self._given_token else {}

    def header(self) -> Mapping[str, str]:
        """The Authorization header; empty before the first challenge."""
        return self._header

    def answer(self, challenge: str) -> bool:
        """Make a header that answers the WWW-Authenticate `challenge`. Return False if there are no better credentials.

        Raises `UnauthenticatedError` if the realm returns no token.
        """
        if self._given_token:
            return False
        if challenge.lower().startswith("basic"):
            header = {"Authorization": f"Basic {self._basic_auth}"} if self._basic_auth else {}
            changed = header != self._header
            self._header = header
            return changed
        response = requests.Response()
        response.headers["Www-Authenticate"] = challenge
        self._header, changed = self.authenticate_request(response, {}, refresh=True)
        return bool(changed)

    def request_token(self, h: authHeader) -> str:
        """Return a token from the challenge's realm (Docker registry v2 token authentication)."""
        realm = h.realm or ""
        if urlsplit(realm).scheme not in {"http", "https"}:
            raise UnauthenticatedError(f"{self._endpoint.host}: the registry's challenge names no token realm")
        headers = {"Authorization": f"Basic {self._basic_auth}"} if self._basic_auth and self._trusts(realm) else {}
        parameters = {name: value for name, value in (("service", h.service), ("scope", h.scope)) if value}
        deadline = Deadline(_TOKEN_SECONDS, _TOKEN_SECONDS)
        try:
            answer = self.session.get(realm, headers=headers, params=parameters, allow_redirects=False, stream=True)
            with answer:
                body = read_all(answer, _MAX_TOKEN_ANSWER, deadline, realm) if answer.ok else b""
            token = _token(body)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise UnauthenticatedError(f"cannot get a token from {realm}: {error}") from error
        if not token:
            hint = (
                "" if headers or not self._basic_auth else "; the credentials were not sent, because it is another host"
            )
            raise UnauthenticatedError(f"cannot get a token from {realm}: HTTP {answer.status_code}{hint}")
        return token

    def _trusts(self, realm: str) -> bool:
        parts = urlsplit(realm)
        if parts.scheme == "http" and not self._endpoint.plain_http:
            return False
        if not may_carry_credentials(realm, plaintext=self._endpoint.plaintext):
            return False
        return parts.netloc in {self._endpoint.host, *self._endpoint.realms}


def _token(body: bytes) -> str:
    try:
        document = json.loads(body)
    except ValueError:
        return ""
    token = document.get("token") or document.get("access_token") if isinstance(document, dict) else None
    return token if isinstance(token, str) else ""
