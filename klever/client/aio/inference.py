"""Predictions of a Serving: by gRPC, or as JSON where the runtime has no gRPC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from klever.client import json_tensors, tensors
from klever.client.aio.connection import AsyncConnection
from klever.client.aio.servings import AsyncServings
from klever.client.conditions import why
from klever.client.endpoint import Endpoint
from klever.client.tensors import Prediction
from klever.client.threads import in_thread
from klever.errors import InvalidError, KleverError, NotFoundError, UnavailableError

__all__ = ["AsyncInference"]

_Key = tuple[str, str]
"""Namespace and name of a Serving."""
_HTTP_ONLY: Final = "custom"
"""The runtime of commands, which need not serve gRPC."""
_KEPT: Final = 1000
"""The most descriptions of models that a client keeps."""


class AsyncInference:
    """Predictions, with the descriptions of the inputs of models. An error makes the next call read them again."""

    def __init__(self, connection: AsyncConnection, servings: AsyncServings) -> None:
        self._connection = connection
        self._servings = servings
        self._described: dict[_Key, tuple[Any, list[Any]]] = {}

    async def predict(
        self, name: str, inputs: Any, *, namespace: str, headers: Mapping[str, str], timeout: float
    ) -> Prediction:
        """Return the outputs. `Client.predict` describes the arguments and errors."""
        key = (namespace or self._connection.settings.namespace, name)
        if key not in self._described and len(self._described) >= _KEPT:
            self._described.clear()
        try:
            return await self._predict(key, inputs, headers, timeout)
        except (NotFoundError, UnavailableError) as error:
            self._described.pop(key, None)
            serving = await self._servings.get(name, namespace=key[0])
            raise UnavailableError(f"serving {name} does not answer ({error}): {why(serving)}") from error
        except KleverError:
            self._described.pop(key, None)
            raise

    async def _predict(self, key: _Key, inputs: Any, headers: Mapping[str, str], timeout: float) -> Prediction:
        serving, described = self._described[key] = self._described.get(key) or await self._describe(key, timeout)
        name, arrays = key[1], tensors.to_inputs(inputs, described)
        if _runtime(serving) == _HTTP_ONLY:
            endpoint = Endpoint(self._connection.settings, serving, headers, timeout)
            body, path = json_tensors.to_body(arrays, described), f"/v2/models/{name}/infer"
            return json_tensors.from_response(await in_thread(endpoint.ask, "POST", path, body))
        request = tensors.to_request(name, arrays, described)
        return tensors.to_prediction(await self._call("ModelInfer", request, key, headers, timeout))

    async def _describe(self, key: _Key, timeout: float) -> tuple[Any, list[Any]]:
        """Return a Serving, and the inputs of its model. Raises `NotFoundError`."""
        namespace, name = key
        serving = await self._servings.get(name, namespace=namespace)
        runtime = _runtime(serving)
        if runtime == "llamacpp":
            raise InvalidError(
                f"serving {name} is a language model: use the OpenAI API at {serving.status.url}/openai/v1"
            )
        if runtime == _HTTP_ONLY:
            endpoint = Endpoint(self._connection.settings, serving, {}, timeout)
            return serving, json_tensors.from_metadata(await in_thread(endpoint.ask, "GET", f"/v2/models/{name}"))
        response = await self._call("ModelMetadata", tensors.metadata_request(name), key, {}, timeout)
        return serving, list(response.inputs)

    async def _call(self, rpc: str, request: Any, key: _Key, headers: Mapping[str, str], timeout: float) -> Any:
        namespace, name = key
        metadata = {"seldon": name, "namespace": namespace, **{name.lower(): v for name, v in headers.items()}}
        return await self._connection.call(
            tensors.METHODS[rpc], request, timeout=timeout, metadata=tuple(metadata.items())
        )


def _runtime(serving: Any) -> str:
    return next((p.runtime for p in serving.status.predictors if p.runtime), "")
