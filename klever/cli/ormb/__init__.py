"""`ormb`: models as OCI artifacts, compatible with the original tool's artifacts, cache, verbs and output.

Forbidden here: server, store, controllers, kube, grpc. A verb is a module with `EXAMPLES`, `add_arguments(parser)`
and `run(args) -> exit code`, and a row in `VERBS`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from klever.cli.errors import USAGE, run_verb
from klever.errors import KleverError

__all__ = ["VERBS", "build_parser", "main"]

VERBS: Final = {
    "login": "log in to a registry",
    "logout": "forget the credentials of a registry",
    "save": "save a model directory to the cache",
    "tag": "give a model in the cache another name",
    "push": "push a model from the cache to its registry",
    "pull": "pull a model from its registry into the cache",
    "export": "export a model from the cache to a directory",
    "models": "list the models in the cache",
    "remove": "remove a model from the cache",
    "pull-and-export": "pull a model and export it in the layout of a model server",
    "completion": "print a completion script for bash, zsh or fish",
    "version": "print the version",
}

_HINTS: Final = {
    "UNAUTHENTICATED": "log in with `ormb login HOST`, or `klever login HOST` for a platform's registry",
    "MODEL_NOT_CACHED": "save or pull it first; `ormb models` lists the cache",
    "MODEL_EXPORTED": "name another directory with -d, or replace it with --force",
    "UNREACHABLE": "check that the registry runs there; KLEVER_SERVER is the address of the platform's registry",
    "DISK_FULL": "free some disk space, e.g. with `ormb remove`, and try again",
    "TLS": "give the registry's CA with --ca-file, or accept any certificate with --insecure",
    "PLAINTEXT": "in a private network, give --plain-http",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (by default the process's own) and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    verb = arguments[0] if arguments else ""
    if verb not in VERBS:
        build_parser().parse_args(arguments)  # prints help or an error, and exits
        return USAGE
    parser = argparse.ArgumentParser(prog=f"ormb {verb}", **_described(verb))  # only this one: the others cost 10 ms
    _module(verb).add_arguments(parser)
    return run_verb("ormb", partial(_module(verb).run, parser.parse_args(arguments[1:])), _hint)


def build_parser(*, arguments: bool = False) -> argparse.ArgumentParser:
    """Return the parser of all verbs: names and summaries for `--help`, also `arguments` for completion."""
    parser = argparse.ArgumentParser(
        prog="ormb", description="Models as OCI artifacts: save, push, pull and export them."
    )
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, summary in VERBS.items():
        subparser = subparsers.add_parser(verb, help=summary)
        if arguments:
            _module(verb).add_arguments(subparser)
    return parser


def _described(verb: str) -> dict[str, Any]:
    examples = _module(verb).EXAMPLES
    return {
        "description": VERBS[verb].capitalize() + ".",
        "epilog": f"examples:\n{examples}" if examples else None,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def _module(verb: str) -> ModuleType:
    return import_module(f"klever.cli.ormb.{verb.replace('-', '_')}")


def _hint(error: KleverError) -> str:
    return _HINTS.get(error.reason, "")
