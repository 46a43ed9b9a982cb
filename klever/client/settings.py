"""The server and credentials to use: from flags, then KLEVER_SERVER, KLEVER_NAMESPACE, KLEVER_TOKEN, KLEVER_CA_FILE and
KLEVER_PLAINTEXT, then the configuration file (`klever.client.config`), whose tokens go to their own servers only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from klever.client.config import Config, config_path
from klever.errors import InvalidError
from klever.oci.registries import Credentials, Endpoint, check_credentials

__all__ = ["Settings", "trusted"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings. `server` is the user's input, `url` its canonical form, http[s]://HOST:PORT."""

    server: str
    url: str
    namespace: str
    token: str = field(repr=False)
    ca: Path | None = None
    """A file of certificates to trust instead of the system's."""
    plaintext: bool = False
    """Whether the token may be sent in plain HTTP beyond loopback."""

    @classmethod
    def load(
        cls, environ: Mapping[str, str], config: Config | None = None, *, plaintext: bool = False, **flags: str | None
    ) -> Self:
        """Load the settings. `flags` are server, namespace, token and ca_file, None or empty if not given.

        Raises `InvalidError` that names the flag, or the file and its key.
        """

        def given(name: str) -> str:
            return flags.get(name) or environ.get(f"KLEVER_{name.upper()}", "")

        config = config or Config.read(config_path(environ))
        plaintext = plaintext or environ.get("KLEVER_PLAINTEXT", "").lower() in ("true", "1")
        server, ca_file = given("server") or config.server, given("ca_file")
        url = config.resolve_url(server, tls=bool(ca_file), plaintext=plaintext)
        kept = config.of(url)
        token, ca = given("token") or kept.token, ca_file or kept.ca
        if not token.isascii() or not token.isprintable():
            raise InvalidError("invalid characters in the token: copy it from the file `token` in the data directory")
        namespace = given("namespace") or config.namespace
        return cls(server, url, namespace, token, trusted(ca) if ca else None, plaintext or kept.plaintext)

    @property
    def endpoint(self) -> Endpoint:
        """Return the registry of the server."""
        credentials = Credentials(token=self.token) if self.token else None
        return Endpoint("", self.url, credentials, self.ca, plaintext=self.plaintext)

    def check(self) -> None:
        """Raise `FailedPreconditionError` if the token must not be sent to the server."""
        check_credentials(self.endpoint)


def trusted(path: str) -> Path:
    """Return a file of certificates to trust. Raises `InvalidError` if it is not a PEM file of certificates."""
    import ssl

    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # includes ssl.SSLError
        raise InvalidError(f"{path} must be a PEM file of certificates: {error.strerror or error}") from error
    return Path(path).absolute()
