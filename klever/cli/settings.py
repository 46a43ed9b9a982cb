"""Which server, as whom: flags, then KLEVER_SERVER, KLEVER_NAMESPACE, KLEVER_TOKEN, KLEVER_CA_FILE and
KLEVER_PLAINTEXT, then the configuration file (`klever.cli.config`), whose tokens go to their own servers only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from klever.cli.config import Config, config_path
from klever.errors import InvalidError
from klever.oci.registries import Credentials, Endpoint, check_credentials

__all__ = ["Settings", "trusted"]


@dataclass(frozen=True, slots=True)
class Settings:
    """`server` is as the user names it, `url` its canonical form, http[s]://HOST:PORT."""

    server: str
    url: str
    namespace: str
    token: str = field(repr=False)
    ca: Path | None = None
    """Certificates to trust instead of the system's."""
    plaintext: bool = False
    """The token may travel in plain HTTP beyond loopback."""

    @classmethod
    def load(
        cls, environ: Mapping[str, str], config: Config | None = None, *, plaintext: bool = False, **flags: str | None
    ) -> Self:
        """`flags` are server, namespace, token and ca_file, None or empty where not given.

        Raises `InvalidError` that names what is wrong: a flag, or the file and the key in it.
        """

        def given(name: str) -> str:
            return flags.get(name) or environ.get(f"KLEVER_{name.upper()}", "")

        config = config or Config.read(config_path(environ))
        plaintext = plaintext or environ.get("KLEVER_PLAINTEXT", "").lower() in ("true", "1")
        server, ca_file = given("server") or config.server, given("ca_file")
        url = config.url_of(server, tls=bool(ca_file), plaintext=plaintext)
        kept = config.of(url)
        token, ca = given("token") or kept.token, ca_file or kept.ca
        if not token.isascii() or not token.isprintable():
            raise InvalidError("the token holds characters that no token has: see `token` in the data directory")
        namespace = given("namespace") or config.namespace
        return cls(server, url, namespace, token, trusted(ca) if ca else None, plaintext or kept.plaintext)

    @property
    def endpoint(self) -> Endpoint:
        """The registry of the server."""
        credentials = Credentials(token=self.token) if self.token else None
        return Endpoint("", self.url, credentials, self.ca, plaintext=self.plaintext)

    def check(self) -> None:
        """Raise `FailedPreconditionError` if the token must not travel to the server."""
        check_credentials(self.endpoint)


def trusted(path: str) -> Path:
    """Return a file of certificates to trust, in PEM; raises `InvalidError` if it is none."""
    import ssl

    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        raise InvalidError(f"{path} is not a file of certificates in PEM: {error.strerror or error}") from error
    return Path(path).absolute()
