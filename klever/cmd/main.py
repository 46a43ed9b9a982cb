"""`klever`: the table of its verbs. Modules are imported on use: `klever --help` has a budget of 150 ms."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Final

from klever.cli.errors import run_verb
from klever.errors import KleverError

if TYPE_CHECKING:
    from klever.api.kinds import Kind

__all__ = ["VERBS", "build_parser", "main"]

_CLI: Final = "klever.cli.commands"
_CMD: Final = "klever.cmd"

VERBS: Final = {
    "up": (_CMD, "start the platform here"),
    "controllers": (_CMD, "work on objects in an API server, when it is this one's turn"),
    "down": (_CMD, "stop everything of a data directory, what a kill left included"),
    "doctor": (_CMD, "say what is missing here and what to do"),
    "backup": (_CMD, "copy the objects of a data directory to a file, while it runs"),
    "env": (_CMD, "list, install and remove the environments of runtimes"),
    "login": (_CLI, "keep the token of a server, and use that server"),
    "get": (_CLI, "list the objects of a kind"),
    "describe": (_CLI, "show everything of one object"),
    "deploy": (_CLI, "serve a model"),
    "wait": (_CLI, "wait until a condition holds"),
    "promote": (_CLI, "let the canary of a Serving become main"),
    "abort": (_CLI, "remove the canary of a Serving"),
    "rollback": (_CLI, "return a Serving to an earlier revision"),
    "history": (_CLI, "list the revisions of a Serving, and when they served"),
    "scale": (_CLI, "change the number of processes of a Serving"),
    "traffic": (_CLI, "set the shares of predictors"),
    "predict": (_CLI, "send an inference request"),
    "chat": (_CLI, "talk with a language model"),
    "logs": (_CLI, "print log lines of a Serving or ModelJob"),
    "events": (_CLI, "list what happened"),
    "create": (_CLI, "create a project"),
    "allow-code": (_CLI, "let the Servings of a project run code"),
    "delete": (_CLI, "delete objects"),
    "cancel": (_CLI, "end a ModelJob"),
    "diff": (_CLI, "show what an apply of a YAML file would change"),
    "edit": (_CLI, "change an object in an editor"),
    "apply": (_CLI, "create or change objects as a YAML file declares them"),
    "convert": (_CMD, "convert a model to another format, and compare both"),
    "extract": (_CLI, "read the signature of a model directory, without a server"),
}
"""Verb -> the package of its module, and what it does."""

_HINTS: Final = {
    "UNAUTHENTICATED": "give the token of this server with `klever login SERVER`, or in KLEVER_TOKEN",
    "PLAINTEXT": "give --ca-file FILE if its certificate is of a private CA, or --plaintext in a private network",
    "TLS": "give its CA with --ca-file FILE; http:// and --plaintext are for a private network",
    "NAMESPACE_NOT_FOUND": "create it with `klever create project NAME`",
    "PROJECT_NOT_FOUND": "`klever get projects` lists those that are there",
    "MODEL_NOT_FOUND": "push it with `ormb push`; `klever get versions` lists what is there",
}


def main(arguments: Sequence[str] | None = None, kinds: Sequence[Kind] = ()) -> int:
    """Run the command line `arguments` (the process's own by default) and return the exit code.

    `kinds` are further rows for the table of kinds.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # an error is one line, and ours
    return run_verb("klever", partial(_run, sys.argv[1:] if arguments is None else arguments, kinds), _hint)


def build_parser(verbs: Iterable[str]) -> argparse.ArgumentParser:
    """The parser: every verb by its name and summary, those in `verbs` with their arguments."""
    parser = argparse.ArgumentParser(prog="klever", description="The model platform: from a model file to traffic.")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    full = set(verbs)
    for verb, (_, summary) in VERBS.items():
        subparser = subparsers.add_parser(
            verb,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if verb in full:
            module = _module(verb)
            subparser.epilog = f"examples:\n{module.EXAMPLES}" if module.EXAMPLES else None
            module.add_arguments(subparser)
    return parser


def _run(arguments: Sequence[str], kinds: Sequence[Kind]) -> int:
    called = [argument for argument in arguments[:1] if argument in VERBS]
    args = build_parser(called).parse_args(arguments, argparse.Namespace(kinds=kinds))
    code: int = _module(args.verb).run(args)
    return code


def _module(verb: str) -> ModuleType:
    return import_module(f"{VERBS[verb][0]}.{verb.replace('-', '_')}")


def _hint(error: KleverError) -> str:
    return _HINTS.get(error.reason, "")
