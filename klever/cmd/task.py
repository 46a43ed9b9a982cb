"""`python -m klever.cmd.task SPEC.json`: one job's task, in a separate process.

SPEC.json has `module` and `step`, which name the function to call; `inputs`: `model`, `desiredTag`, `limits`, and
`extraction`, or `conversion`, `allowCode` and `options`; and `secrets` (`klever.cmd.provisions`): access to the
platform's registry (`platform`: `url`, `token`, `ca`, `plaintext`; null if the task does not use it) and to others
(`entries`). Progress goes to standard output, the outcome to the file that KLEVER_TERMINATION_LOG names.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from klever import tasks
from klever.executors import Outcome
from klever.limits import Limits
from klever.oci.reference import Reference
from klever.oci.registries import Credentials, Endpoint, Registries

__all__ = ["main", "read_registries", "report"]


def main() -> int:
    """Return 0 or 1. The outcome has the real code, which does not fit in the 8 bits of an exit code."""
    return report(_run(json.loads(Path(sys.argv[1]).read_text()), Path.cwd()))


def report(outcome: Outcome) -> int:
    """Write the outcome where KLEVER_TERMINATION_LOG says, and return the exit code of the process."""
    destination = os.environ.get("KLEVER_TERMINATION_LOG")
    if destination:
        try:
            Path(destination).write_bytes(outcome.encode())
        except OSError as error:
            _say(f"{outcome.message}; cannot write the outcome: {error.strerror}")
            return 1
    _say(outcome.message)
    return 1 if outcome.exit_code else 0


def read_registries(secrets: dict[str, Any]) -> Registries:
    """Return how a task reaches its registries, from the `secrets` of its document."""
    platform = _platform(secrets["platform"]) if secrets["platform"] else None
    return Registries.parse({"registries": secrets["entries"]}, platform=platform)


def _run(spec: dict[str, Any], work: Path) -> Outcome:
    try:
        result = tasks.run(spec["module"], spec["step"], _job(spec["inputs"], spec["secrets"], work))
    except tasks.StepError as error:
        return Outcome(error.step.code, error.message, error.step.reason, error.result)
    except Exception as error:  # noqa: BLE001 - whatever it is, the outcome must say so; the log has the rest
        traceback.print_exc()
        return Outcome(tasks.Step.RUN.code, f"{type(error).__name__}: {error}", tasks.Step.RUN.reason)
    return Outcome(0, str(result["report"]), "Completed", result)


def _job(inputs: dict[str, Any], secrets: dict[str, Any], work: Path) -> tasks.Job:
    registries = read_registries(secrets)
    model = Reference.parse(inputs["model"])
    target = Reference.parse(inputs["desiredTag"]) if inputs.get("desiredTag") else model
    extraction = inputs.get("extraction") or {}
    pair = (inputs.get("conversion") or {}).get("mmdnn", {})
    return tasks.Job(
        model,
        target,
        format=extraction.get("format") or pair["from"],
        registries=registries,
        work=work,
        say=_say,
        limits=Limits(**inputs["limits"]),
        inspect_only=bool(extraction.get("inspectOnly")),
        into=pair.get("to", ""),
        allow_code=bool(inputs.get("allowCode")),
        options=inputs.get("options") or {},
    )


def _platform(own: dict[str, Any]) -> Endpoint:
    credentials = Credentials(token=own["token"]) if own["token"] else None
    ca = Path(own["ca"]) if "ca" in own else None
    return Endpoint("", own["url"], credentials, ca, plaintext=own.get("plaintext", False))


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
