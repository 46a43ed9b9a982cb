"""The client."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from klever.client.aio.catalogue import AsyncModels, AsyncProjects, AsyncVersions
from klever.client.aio.connection import AsyncConnection
from klever.client.aio.deploying import AsyncDeployment
from klever.client.aio.jobs import AsyncJobs
from klever.client.aio.servings import AsyncServings
from klever.client.channel import SERVICES
from klever.client.rollout import Wish
from klever.client.settings import Settings
from klever.v1alpha1.server_service_pb2 import GetServerInfoRequest, ServerInfo
from klever.v1alpha1.serving_pb2 import Serving

if TYPE_CHECKING:
    from klever.client.aio.inference import AsyncInference
    from klever.client.tensors import Prediction

__all__ = ["AsyncClient"]


class AsyncClient:
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
        self.connection = AsyncConnection(self.settings, timeout)
        self.projects = AsyncProjects(self.connection)
        self.models = AsyncModels(self.connection)
        self.versions = AsyncVersions(self.connection)
        self.jobs = AsyncJobs(self.connection)
        self.servings = AsyncServings(self.connection)
        self._inference: AsyncInference | None = None

    @property
    def namespace(self) -> str:
        return self.settings.namespace

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self.connection.close()

    async def server_info(self) -> ServerInfo:
        """Return the version of the server, its features and limits."""
        method = SERVICES["ServerService"].methods_by_name["GetServerInfo"]
        info: ServerInfo = await self.connection.call(method, GetServerInfoRequest())
        return info

    async def deploy(
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
        return (await self.change(name, wish, reset=reset, namespace=namespace))[1]

    async def change(
        self, name: str, wish: Wish, *, reset: bool = False, namespace: str = ""
    ) -> tuple[Serving | None, Serving]:
        """Deploy a wish, and return the Serving before, None if it is new, and after."""
        deployment = AsyncDeployment(self.servings, self.versions, name, namespace)
        return await (deployment.declare(wish) if reset else deployment.change(wish))

    async def wait(self, name: str, condition: str = "Ready", *, namespace: str = "", timeout: float = 60.0) -> Serving:
        """Return a Serving once it has a condition. `servings.wait` lists the errors; `jobs.wait` waits for a job."""
        return await self.servings.wait(name, condition, namespace=namespace, timeout=timeout)

    async def promote(self, name: str, predictor: str = "", *, namespace: str = "") -> Serving:
        """Make a predictor, by default `canary`, the main one, which takes the requests of both."""
        return await self.servings.promote(name, predictor, namespace=namespace)

    async def abort(self, name: str, predictor: str = "", *, namespace: str = "") -> Serving:
        """Remove a predictor, by default `canary`. The others take its requests."""
        return await self.servings.abort(name, predictor, namespace=namespace)

    async def rollback(self, name: str, to: int = 0, *, namespace: str = "") -> Serving:
        """Return to an earlier revision, or to the one with the number `to`."""
        return await self.servings.rollback(name, to, namespace=namespace)

    async def scale(self, name: str, replicas: int, *, predictor: str = "", namespace: str = "") -> Serving:
        """Change the number of processes of a predictor, by default `main` or the only one."""
        return await self.servings.scale(name, replicas, predictor=predictor, namespace=namespace)

    async def predict(
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
            from klever.client.aio.inference import AsyncInference  # numpy and tritonclient take 0.2 s

            self._inference = AsyncInference(self.connection, self.servings)
        return await self._inference.predict(
            name,
            tensors if inputs is None else inputs,
            namespace=namespace,
            headers=headers or {},
            timeout=self.connection.timeout if timeout is None else timeout,
        )
