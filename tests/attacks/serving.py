"""Servings of models that somebody pushed, over REST."""

from __future__ import annotations

import json
import uuid

from tests.e2e.platform import Platform, until

__all__ = ["deploy", "failure", "serving"]


def serving(name: str, model: str) -> str:
    return json.dumps({"metadata": {"name": name}, "spec": {"predictors": [{"name": "main", "model": model}]}})


def deploy(platform: Platform, model: str) -> str:
    """Create a Serving of a model; returns its name."""
    name = f"s-{uuid.uuid4().hex[:10]}"
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {platform.token}"}
    status, text = platform.http("POST", "/api/v1alpha1/namespaces/default/servings", serving(name, model), **headers)
    assert status == 200, text
    return name


def failure(platform: Platform, name: str) -> str:
    """Wait until a Serving has failed, and return why."""

    def failed() -> str:
        status, text = platform.http("GET", f"/api/v1alpha1/namespaces/default/servings/{name}")
        assert status == 200, text
        found = json.loads(text).get("status", {})
        ready = [c["message"] for c in found.get("conditions", []) if c["type"] == "Ready"]
        return ready[0] if found.get("phase") == "Failed" else ""

    return str(until(failed))
