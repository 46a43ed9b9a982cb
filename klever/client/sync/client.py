"""The client."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from klever.client.sync.catalogue import Models, Projects, Versions
from klever.client.sync.connection import Connection
from klever.client.sync.deploying import Deployment
from klever.client.sync.jobs import Jobs
from klever.client.sync.servings import Servings
from klever.client.channel import SERVICES
from klever.client.rollout import Wish
from klever.client.settings import Settings
from klever.v1alpha1.server_service_pb2 import GetServerInfoRequest, ServerInfo
from klever.v1alpha1.serving_pb2 import Serving

if TYPE_CHECKING:
    from klever.client.sync.inference import Inference
    from klever.client.tensors import Prediction

__all__ = ["Client"]


class Client:
    """A client of a Klever server.

    Use it as a context manager, or call `close`. Every argument has a default: the environment (KLEVER_SERVER,
    KLEVER_TOKEN, KLEVER_NAMESPACE, KLEVER_CA_FILE, KLEVER_PLAINTEXT), then the settings that `klever up` and
    `klever login` saved.

    server: HOST:PORT or URL. token: for writes, sent to this server only. namespace: the project. ca_file: certificates
    to trust instead of the system's, in PEM. plaintext: send the token in plain HTTP. timeout: deadline of each call in
    seconds.

    Results are the messages of `klever.v1alpha1`. Errors are those of `klever.errors`. A call that only reads, or
    creates an object, is tried up to three times while the server is unavailable.
    """

    def __init__(
        self,
        server: str = "",
        *,
        token: str = "",
        namespace: str = "",
        ca_file: str | os.PathLike[str] = "",
        plaintext: bool = False,
        timeout: float = 30.0,
    ) -> None:
        """Raise `InvalidError` for a wrong setting, `FailedPreconditionError` if the token must not be sent."""
        flags = {"server": server, "token": token, "namespace": namespace, "ca_file": os.fspath(ca_file)}
        self.settings = Settings.load(os.environ, None, plaintext=plaintext, **flags)
        self.connection = Connection(self.settings, timeout)
        self.projects = Projects(self.connection)
        self.models = Models(self.connection)
        self.versions = Versions(self.connection)
        self.jobs = Jobs(self.connection)
        self.servings = Servings(self.connection)
        self._inference: Inference | None = None

    @property
    def namespace(self) -> str:
        return self.settings.namespace

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def server_info(self) -> ServerInfo:
        """Return the version of the server, its features and limits."""
        method = SERVICES["ServerService"].methods_by_name["GetServerInfo"]
        info: ServerInfo = self.connection.call(method, GetServerInfoRequest())
        return info

    def deploy(
        self,
        name: str,
        model: str,
        *,
        predictor: str = "",
        canary: int | None = None,
        replicas: int | None = None,
        runtime: str = "",
        reset: bool = False,
        namespace: str = "",
    ) -> Serving:
        """Serve a model, such as `team/digits:v1`, as the Serving `name`, and return the Serving.

        In an existing Serving this changes the predictor `main` or `predictor`, and nothing else. canary: serve beside
        what runs, with this share in percent. reset: replace the whole spec. Raises `NotFoundError` with the tags that
        exist.
        """
        settings = {"runtime": runtime or None, "replicas": replicas}
        wish = Wish(model, "", predictor, canary, {k: v for k, v in settings.items() if v is not None})
        return (self.change(name, wish, reset=reset, namespace=namespace))[1]

    def change(
        self, name: str, wish: Wish, *, reset: bool = False, namespace: str = ""
    ) -> tuple[Serving | None, Serving]:
        """Deploy a wish, and return the Serving before, None if it is new, and after."""
        deployment = Deployment(self.servings, self.versions, name, namespace)
        return (deployment.declare(wish) if reset else deployment.change(wish))

    def wait(self, name: str, condition: str = "Ready", *, namespace: str = "", timeout: float = 60.0) -> Serving:
        """Return a Serving once it has a condition. `servings.wait` lists the errors; `jobs.wait` waits for a job."""
        return self.servings.wait(name, condition, namespace=namespace, timeout=timeout)

    def promote(self, name: str, predictor: str = "", *, namespace: str = "") -> Serving:
        """Make a predictor, by default `canary`, the main one, which takes the requests of both."""
        return self.servings.promote(name, predictor, namespace=namespace)

    def abort(self, name: str, predictor: str = "", *, namespace: str = "") -> Serving:
        """Remove a predictor, by default `canary`. The others take its requests."""
        return self.servings.abort(name, predictor, namespace=namespace)

    def rollback(self, name: str, to: int = 0, *, namespace: str = "") -> Serving:
        """Return to an earlier revision, or to the one with the number `to`."""
        return self.servings.rollback(name, to, namespace=namespace)

    def scale(self, name: str, replicas: int, *, predictor: str = "", namespace: str = "") -> Serving:
        """Change the number of processes of a predictor, by default `main` or the only one."""
        return self.servings.scale(name, replicas, predictor=predictor, namespace=namespace)

    def predict(
        self,
        name: str,
        inputs: Any = None,
        /,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        namespace: str = "",
        **tensors: Any,
    ) -> Prediction:
        """Return the outputs of a Serving's model by name. With a single output, it is also `.array`.

        Inputs are arrays, lists or scalars: `predict("digits", pixels=array)`. A mapping allows any name
        (`predict("digits", {"input.1": array})`), and a model with one input takes its value alone
        (`predict("digits", array)`). They become the model's datatypes. Dimensions that an input lacks are added in
        front. Text and bytes are BYTES; an output of BYTES has bytes.

        headers: request headers, such as those of a predictor with matches. timeout: in seconds, by default the
        client's. Raises `InvalidError` for inputs that do not fit the model.
        """
        if self._inference is None:
            from klever.client.sync.inference import Inference  # numpy and tritonclient take 0.2 s

            self._inference = Inference(self.connection, self.servings)
        return self._inference.predict(
            name,
            tensors if inputs is None else inputs,
            namespace=namespace,
            headers=headers or {},
            timeout=self.connection.timeout if timeout is None else timeout,
        )
