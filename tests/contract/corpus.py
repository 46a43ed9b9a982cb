"""Good and bad objects: every store gives the same verdicts, and names the same fields."""

from __future__ import annotations

import copy
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

from klever.api.kinds import MODEL_INSPECTION, MODEL_JOB, NAMESPACE, SERVING, SERVING_REVISION, Kind, Object
from klever.errors import InvalidError
from klever.store import Key, Store

__all__ = ["CorpusContract"]

CORPUS = Path(__file__).parents[1] / "corpus"
Case = dict[str, Any]


def cases(kind: Kind) -> list[Any]:
    found = yaml.safe_load((CORPUS / f"{kind.plural}.yaml").read_text())
    return [pytest.param(kind, case, id=f"{kind.plural}: {case['name']}") for case in found]


def expanded(value: Any) -> Any:
    """Write out `{$repeat: [WHAT, TIMES]}`."""
    if isinstance(value, list):
        return [expanded(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$repeat" in value:
        what, times = value["$repeat"]
        return what * times if isinstance(what, str) else [copy.deepcopy(what) for _ in range(times)]
    return {name: expanded(field) for name, field in value.items()}


def make_object(kind: Kind, case: Case, namespace: str) -> Object:
    parts = expanded({key: case[key] for key in ("spec", "predictor", "metadata", "object") if key in case})
    named = {"name": "it-1", "namespace": namespace} if kind.namespaced else {"name": f"sha256-{uuid.uuid4().hex * 2}"}
    metadata = named | parts.get("metadata", {})
    obj: Object = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata} | parts.get("object", {})
    if "predictor" in parts:
        obj["spec"] = {"predictors": [parts["predictor"]]}
    elif "spec" in parts:
        obj["spec"] = parts["spec"]
    return obj


class CorpusContract:
    @pytest.mark.parametrize(
        ("kind", "case"), [*cases(MODEL_JOB), *cases(SERVING), *cases(SERVING_REVISION), *cases(MODEL_INSPECTION)]
    )
    async def test_the_verdict(self, store: Store, kind: Kind, case: Case) -> None:
        namespace = f"t-{uuid.uuid4().hex[:10]}"
        await store.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        if "fields" not in case:
            kept = await self.write(store, kind, case, namespace)
            if "result" in case:
                assert kept["spec"] == case["result"]
            return
        with pytest.raises(InvalidError) as caught:
            await self.write(store, kind, case, namespace)
        assert sorted({v.field for v in caught.value.violations}) == sorted(case["fields"]), caught.value

    @staticmethod
    async def write(store: Store, kind: Kind, case: Case, namespace: str) -> Object:
        kept = await store.create(kind, make_object(kind, case, namespace))
        key = Key(kept["metadata"].get("namespace", ""), kept["metadata"]["name"])
        if "then" in case:
            return await store.patch(kind, key, case["then"])
        if "status" in case:
            return await store.patch(kind, key, {"status": case["status"]}, subresource="status")
        return kept
