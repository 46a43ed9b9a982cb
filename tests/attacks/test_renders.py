"""Renders by somebody without a token: the platform reads what it knows, and fetches nothing for them."""

from __future__ import annotations

import json
import socket
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.pushing import pack_layer, push
from tests.attacks.serving import serving
from tests.attacks.test_signature_bombs import MODEL, signature, tensor
from tests.e2e.platform import Platform, until


def render(platform: Platform, model: str) -> tuple[int, Any]:
    path = "/api/v1alpha1/namespaces/default/servings:render"
    status, text = platform.http("POST", path, serving("it", model), **{"Content-Type": "application/json"})
    return status, json.loads(text)


def reason(answer: Any) -> str:
    return next(str(detail["reason"]) for detail in answer["details"] if "reason" in detail)


def pulled(platform: Platform) -> set[Path]:
    return set((platform.data / "models").glob("sha256-*"))


@pytest.mark.parametrize("listed", [True, False], ids=["files listed", "files not listed"])
def test_a_render_pulls_no_model(shared_platform: Platform, listed: bool) -> None:
    files = {"directoryStructure": ["model/model.onnx"]} if listed else {}
    content = pack_layer({"model.onnx": MODEL, "salt": uuid.uuid4().bytes})
    model = push(shared_platform, f"renders/m{uuid.uuid4().hex[:10]}", signature(tensor(1)) | files, content)
    before = pulled(shared_platform)
    until(lambda: "inspection" not in json.dumps(render(shared_platform, model)[1]), 120)
    status, answer = render(shared_platform, model)
    assert status == (200 if listed else 400)
    assert listed or reason(answer) == "MODEL_NOT_PULLED"
    assert pulled(shared_platform) == before


def test_a_render_asks_no_registry_that_its_caller_names(shared_platform: Platform) -> None:
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        status, answer = render(shared_platform, f"{host}/team/m:v1")
        try:
            listener.accept()[0].close()
            asked.set()
        except TimeoutError:
            pass
    assert (status, reason(answer)) == (400, "REGISTRY_NOT_CONFIGURED")
    assert not asked.is_set()
