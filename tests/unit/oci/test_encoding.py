"""JSON objects of strangers."""

from __future__ import annotations

import json
import time

import pytest

from klever.errors import InvalidError
from klever.oci.encoding import decode_object

pytestmark = pytest.mark.slow

DESCRIPTOR = {"mediaType": "application/octet-stream", "digest": f"sha256:{'a' * 64}", "size": 1}


def test_a_manifest_of_the_largest_size_is_read() -> None:
    content = json.dumps({"layers": [DESCRIPTOR] * 27_000}).encode()
    assert len(content) > 3 << 20
    assert len(decode_object(content, "it")["layers"]) == 27_000


@pytest.mark.parametrize("value", [b"{}", b"[]", b"1", b'""', b"[[[]]]"])
def test_more_values_than_a_manifest_holds_are_not_decoded(value: bytes) -> None:
    content = b'{"x": [' + b",".join([value] * 500_000) + b"]}"
    began = time.process_time()
    with pytest.raises(InvalidError, match="values"):
        decode_object(content, "it")
    refused = time.process_time() - began
    json.loads(content)
    assert refused < time.process_time() - began - refused
