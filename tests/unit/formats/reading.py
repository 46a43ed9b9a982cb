"""Reads models one after another, and tells what became of each and how much memory it took (run as a program).

Takes lines of FORMAT TAB DIRECTORY, and answers with lines of JSON: `outcome` is `signature`, `invalid`, or the name of
another exception; `message`; `mib` is the peak of the resident memory.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from klever import formats
from klever.errors import InvalidError

_ADDRESS_SPACE = 4 << 30


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    for line in sys.stdin:
        name, _, directory = line.rstrip("\n").partition("\t")
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        outcome, message = _read(name, Path(directory))
        print(json.dumps({"outcome": outcome, "message": message, "mib": _peak_mib()}), flush=True)


def _read(name: str, directory: Path) -> tuple[str, str]:
    try:
        formats.get(name).read_signature(directory)
    except InvalidError as error:
        return "invalid", error.message
    except Exception as error:  # noqa: BLE001 - the test says what it should not have been
        return type(error).__name__, str(error)[:1000]
    return "signature", ""


def _peak_mib() -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in status if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
