"""Rates, quantiles and memory from two readings of the metrics."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from klever.cli.scrape import Reading, quantile, usages
from klever.cmd.main import main
from klever.errors import UnavailableError
from tests.errors import because

TEXT = """# TYPE envoy_cluster_upstream_rq_total counter
envoy_cluster_upstream_rq_total{@,protocol="http"} %(requests)d
envoy_cluster_upstream_rq_total{@,protocol="grpc"} 2
envoy_cluster_upstream_rq_total{envoy_cluster_name="klever-api"} 9
envoy_cluster_upstream_rq_xx{envoy_response_code_class="5",@} %(errors)d
envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",@} 50
envoy_cluster_upstream_rq_time_bucket{@,le="1"} %(requests)d
envoy_cluster_upstream_rq_time_bucket{@,le="+Inf"} %(requests)d
klever_replica_memory_bytes{namespace="a",serving="s",workload="w",instance_name="s-w-0"} 1048576
klever_replica_memory_bytes{namespace="a",serving="s",workload="w",instance_name="s-w-1"} 1048576
klever_replica_cpu_seconds_total{namespace="a",serving="s",workload="w",instance_name="s-w-0"} %(cpu)g
other{serving="s"} nonsense
""".replace("@", 'namespace="a",serving="s",predictor="main",workload="w"')
BEFORE = Reading.parse(10.0, TEXT % {"requests": 10, "errors": 0, "cpu": 1})
AFTER = Reading.parse(12.0, TEXT % {"requests": 30, "errors": 4, "cpu": 2})


def test_the_load_of_a_predictor_is_between_two_readings() -> None:
    ((group, usage),) = usages(BEFORE, AFTER, ("namespace", "serving", "predictor")).items()
    assert group == ("a", "s", "main")
    assert (usage.requests, usage.errors, usage.cpu) == (10.0, 2.0, 0.5)
    assert (usage.replicas, usage.memory) == (2, 2 << 20)
    assert (usage.p50, usage.p99) == (0.5, 0.99)


def test_each_replica_has_its_memory() -> None:
    found = usages(BEFORE, AFTER, ("instance_name",))
    assert {name: usage.memory for (name,), usage in found.items() if name} == {"s-w-0": 1 << 20, "s-w-1": 1 << 20}


def test_a_counter_that_started_again_is_no_negative_rate() -> None:
    (usage,) = usages(AFTER, BEFORE, ("serving",)).values()
    assert (usage.requests, usage.cpu) == (0.0, 0.0)


def test_metrics_of_another_format_are_refused() -> None:
    with pytest.raises(UnavailableError, check=because("UNAVAILABLE")):
        Reading.parse(0.0, "klever_replica_memory_bytes{serving= 1")


@pytest.mark.parametrize(
    ("buckets", "q", "value"),
    [
        ({1.0: 10, 2.0: 20, math.inf: 20}, 0.5, 1.0),
        ({1.0: 10, 2.0: 20, math.inf: 20}, 0.75, 1.5),
        ({1.0: 0, math.inf: 5}, 0.99, 1.0),
    ],
)
def test_quantiles_are_those_of_prometheus(buckets: dict[float, float], q: float, value: float) -> None:
    assert quantile(buckets, q) == value


def test_no_requests_have_no_quantile() -> None:
    assert math.isnan(quantile({}, 0.5))
    assert math.isnan(quantile({1.0: 0, math.inf: 0}, 0.5))


@pytest.mark.parametrize("what", ["servings", "replicas"])
def test_top_prints_a_table(
    what: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    golden: Callable[[str, str], None],
) -> None:
    readings = [BEFORE, AFTER]
    monkeypatch.setattr("klever.cmd.top._read", lambda _url: readings.pop(0))
    assert main(["top", what, "--interval", "0s", "--metrics", "http://127.0.0.1:1"]) == 0
    golden(f"cli/top-{what}.txt", capsys.readouterr().out)


def test_top_says_where_it_must_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--data", str(tmp_path)]) == 7
    assert "--metrics" in capsys.readouterr().err
