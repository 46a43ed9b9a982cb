"""`klever top`."""

from __future__ import annotations

import argparse
import math
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from klever.api.text import format_size
from klever.cli.commands.output import print_table, seconds
from klever.cli.scrape import Group, Reading, Usage, usages
from klever.cmd.data import DataDirectory, default_data
from klever.errors import InvalidError, UnavailableError

EXAMPLES = """  klever top
  klever top replicas -n team
  klever top --interval 10s -w
  klever top --metrics http://127.0.0.1:9090/metrics"""

_ANSWER_S: Final = 10.0
_ANSWER_BYTES: Final = 64 << 20
_BY: Final = {
    "servings": ("namespace", "serving", "predictor"),
    "replicas": ("namespace", "serving", "instance_name"),
}

_HEADERS: Final = {
    "servings": ("NAMESPACE", "SERVING", "PREDICTOR", "REQ/S", "5XX/S", "P50", "P99", "REPLICAS", "CPU", "MEMORY"),
    "replicas": ("NAMESPACE", "SERVING", "REPLICA", "CPU", "MEMORY"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show the requests and latencies within the interval, and the CPU and memory of replicas on this machine. "
        "Metrics are on loopback: run it where `klever up` runs."
    )
    parser.add_argument("what", nargs="?", choices=tuple(_BY), default="servings", help="default: servings")
    parser.add_argument("-n", "--namespace", default="", help="only this project")
    parser.add_argument("-w", "--watch", action="store_true", help="print a table after each interval, until Ctrl-C")
    parser.add_argument("--interval", default="2s", help="measure for this long, e.g. 10s (default %(default)s)")
    parser.add_argument("--metrics", metavar="URL", help="of the metrics (default: that of the data directory)")
    parser.add_argument("--data", type=Path, default=default_data(), help="the data directory (default %(default)s)")


def run(args: argparse.Namespace) -> int:
    interval = seconds(args.interval)
    url = args.metrics or _url(DataDirectory(args.data))
    before = _read(url)
    while True:
        time.sleep(interval)
        after = _read(url)
        _print(args, usages(before, after, _BY[args.what]))
        if not args.watch:
            return 0
        before = after


def _url(data: DataDirectory) -> str:
    try:
        return data.metrics_file.read_text().strip()
    except FileNotFoundError as error:
        raise UnavailableError(
            f"{data.root} has not been used by `klever up`: run `klever top` on its machine with --data DIR, or give "
            "the URL that it printed with --metrics"
        ) from error


def _read(url: str) -> Reading:
    """Read the metrics. Raises `UnavailableError` if no platform answers, `InvalidError` for a wrong URL."""
    if not url.startswith(("http://", "https://")):
        raise InvalidError(f"invalid URL of metrics {url!r}: must begin with http:// or https://")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_ANSWER_S) as answer:
            text = answer.read(_ANSWER_BYTES).decode(errors="replace")
    except (OSError, ValueError) as error:
        raise UnavailableError(f"no metrics at {url}: is `klever up` running? ({error})") from error
    return Reading.parse(time.monotonic(), text)


def _print(args: argparse.Namespace, found: dict[Group, Usage]) -> None:
    shown = {group: usage for group, usage in found.items() if args.namespace in ("", group[0]) and group[2]}
    if not shown:
        print("no Servings")
    else:
        print_table(_HEADERS[args.what], [(*group, *_cells(args.what, usage)) for group, usage in shown.items()])


def _cells(what: str, usage: Usage) -> tuple[object, ...]:
    return (*_load(usage), usage.replicas, *_costs(usage)) if what == "servings" else _costs(usage)


def _load(usage: Usage) -> tuple[str, ...]:
    return f"{usage.requests:.1f}", f"{usage.errors:.1f}", _milliseconds(usage.p50), _milliseconds(usage.p99)


def _costs(usage: Usage) -> tuple[str, str]:
    """Return the CPU in thousandths of a core and the memory; empty for replicas of another machine."""
    return (f"{usage.cpu * 1000:.0f}m", format_size(int(usage.memory))) if usage.replicas else ("", "")


def _milliseconds(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1f}ms"
