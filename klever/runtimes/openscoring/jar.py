"""The OpenScoring server itself, from a jar that the operator has. Its license is the AGPL: Klever does not bring it.

Source: the options of OpenScoring's `org.openscoring.server.Main`, and its `NetworkSecurityContextFilter`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from klever.runtimes import Launch, Model, Placement, Probe

__all__ = ["JAVA_SETTINGS", "OpenScoringJar"]

JAVA_SETTINGS: Final = PurePosixPath("/etc/java-17-openjdk")
"""Debian's configuration of Java, to which links in /usr/lib/jvm point."""
_NOBODY, _CALLERS = "0.0.0.0", "127.0.0.1"  # noqa: S104 - compared with addresses of callers, not bound


@dataclass(frozen=True, slots=True)
class OpenScoringJar:
    """The file of OpenScoring's executable jar, and the home of Java, with `bin/java`."""

    file: PurePosixPath
    java: PurePosixPath

    def launch(self, model: Model, at: Placement, document: str, *, deploy: bool) -> Launch:
        """Start the server with a model. `deploy` lets callers change every model, also this one."""
        env = {**at.env, "MODEL_STORE": str(at.store), "SERVING_NAME": model.name, "HOME": str(at.work)}
        # The server takes every caller of this machine for an administrator, and all callers come from the gateway.
        trusted = f'networkSecurityContextFilter.trustedAddresses = ["{_CALLERS if deploy else _NOBODY}"]\n'
        return Launch(
            argv=(
                *(f"{self.java}/bin/java", "-XX:+UseSerialGC", f"-Djava.io.tmpdir={at.work}"),
                *(f"-Dconfig.file={at.store}/application.conf", "-jar", str(self.file)),
                *("--host", at.host, "--port", str(at.http_port), "--model-dir", f"{at.store}/models"),
            ),
            env=env,
            health=Probe(f"/openscoring/model/{model.name}"),
            http=f"{at.host}:{at.http_port}",
            files={"application.conf": trusted.encode()},
            links={f"models/{model.name}.pmml": document},
            read=(JAVA_SETTINGS, self.java, self.file),
        )
