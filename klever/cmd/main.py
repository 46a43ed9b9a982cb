"""`klever`: the table of its verbs. Modules are imported on use, because `klever --help` has a budget of 150 ms."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from importlib import import_module
from keyword import iskeyword
from types import ModuleType
from typing import TYPE_CHECKING, Final

import klever
from klever.cli.errors import run_verb
from klever.errors import KleverError

if TYPE_CHECKING:
    from klever.api.kinds import Kind

__all__ = ["VERBS", "build_parser", "main"]

_CLI: Final = "klever.cli.commands"
_CMD: Final = "klever.cmd"

VERBS: Final = {
    "up": (_CMD, "start the platform on this machine"),
    "controllers": (_CMD, "run the control loops for objects in an API server"),
    "down": (_CMD, "stop all processes of a data directory, also those that a crash left"),
    "doctor": (_CMD, "check this machine and say what to do"),
    "backup": (_CMD, "copy the objects of a data directory to a file, while it is in use"),
    "env": (_CMD, "list, install and remove the environments of runtimes"),
    "login": (_CLI, "save the token of a server, and use that server"),
    "get": (_CLI, "list the objects of a kind"),
    "describe": (_CLI, "show the details of one object"),
    "deploy": (_CLI, "serve a model"),
    "wait": (_CLI, "wait for a condition of an object"),
    "promote": (_CLI, "make the canary of a Serving its main predictor"),
    "abort": (_CLI, "remove the canary of a Serving"),
    "rollback": (_CLI, "return a Serving to an earlier revision"),
    "history": (_CLI, "list the revisions of a Serving, and when they served"),
    "scale": (_CLI, "change the number of processes of a Serving"),
    "traffic": (_CLI, "set the traffic shares of a Serving's predictors"),
    "predict": (_CLI, "send an inference request"),
    "chat": (_CLI, "chat with a language model"),
    "logs": (_CLI, "print the log of a Serving or ModelJob"),
    "events": (_CLI, "list the events of Servings and ModelJobs"),
    "top": (_CMD, "show the requests, latencies, CPU and memory of Servings"),
    "create": (_CLI, "create a project"),
    "allow-code": (_CLI, "allow the Servings of a project to run code"),
    "delete": (_CLI, "delete objects"),
    "cancel": (_CLI, "cancel a ModelJob"),
    "diff": (_CLI, "show the changes of an apply of a YAML file"),
    "edit": (_CLI, "change an object in an editor"),
    "apply": (_CLI, "create or update objects from a YAML file"),
    "import": (_CLI, "turn SeldonDeployments into Servings"),
    "proto": (_CLI, "write the .proto files of the API"),
    "version": (_CLI, "print the versions of the client and the server"),
    "completion": (_CMD, "print a completion script for bash, zsh or fish"),
    "convert": (_CMD, "convert a model to another format, and compare both"),
    "extract": (_CLI, "read the signature of a model directory, without a server"),
}
"""Verb -> the package of its module, and its summary."""

_HINTS: Final = {
    "UNAUTHENTICATED": "give this server's token with `klever login SERVER`, or in KLEVER_TOKEN",
    "PLAINTEXT": "give --ca-file FILE if a private CA signed its certificate, or --plaintext in a private network",
    "TLS": "give its CA with --ca-file FILE; in a private network, use http:// and --plaintext",
    "NAMESPACE_NOT_FOUND": "create it with `klever create project NAME`",
    "PROJECT_NOT_FOUND": "`klever get projects` lists the existing projects",
    "MODEL_NOT_FOUND": "push it with `ormb push`; `klever get versions -A` lists the existing versions",
}


def main(arguments: Sequence[str] | None = None, kinds: Sequence[Kind] = ()) -> int:
    """Run the command line `arguments` (by default the process's own) and return the exit code.

    `kinds` are additional rows of the table of kinds.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # an error is one line, printed by Klever
    return run_verb("klever", partial(_run, sys.argv[1:] if arguments is None else arguments, kinds), _hint)


def build_parser(verbs: Iterable[str]) -> argparse.ArgumentParser:
    """Return the parser: every verb with its name and summary, those in `verbs` with their arguments."""
    parser = argparse.ArgumentParser(prog="klever", description="The model platform: from a model file to traffic.")
    parser.add_argument("--version", action="version", version=f"klever {klever.__version__}")
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
    name = verb.replace("-", "_")
    return import_module(f"{VERBS[verb][0]}.{name}{'_' if iskeyword(name) else ''}")


def _hint(error: KleverError) -> str:
    return _HINTS.get(error.reason, "")
