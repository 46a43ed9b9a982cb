"""`klever completion bash|zsh|fish`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, Final

import shtab

from klever.cmd.main import VERBS, build_parser

EXAMPLES = """  source <(klever completion bash)                                        (in ~/.bashrc)
  klever completion zsh > "${fpath[1]}/_klever"
  klever completion fish > ~/.config/fish/completions/klever.fish"""

_KINDS: Final = "servings modeljobs models versions projects"
_NAMES: Final = "klever get servings,modeljobs -o name 2>/dev/null | sed 'p; s,.*/,,'"
_OBJECTS: Final = shtab.cmd(f"printf '%s\\n' {_KINDS}; {_NAMES}")
_SERVINGS: Final = shtab.cmd("klever get servings -o name 2>/dev/null | cut -d/ -f2")
_COMPLETERS: Final[dict[tuple[str, str], Any]] = {
    ("targets", "KIND[/NAME]"): _OBJECTS,
    ("kind", "KIND[/NAME]"): _OBJECTS,
    ("name", "NAME"): _SERVINGS,
}
"""How the values of an argument are completed, by its name and what help calls it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print a completion script. It completes verbs, flags, kinds, and names of objects."
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def run(args: argparse.Namespace) -> int:
    print(shtab.complete(_completed(build_parser(VERBS)), args.shell))
    return 0


def _completed(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Mark the arguments of a parser and its verbs whose values can be completed."""
    for action in _actions(parser):
        completer = _COMPLETERS.get((action.dest, str(action.metavar)))
        if str(action.metavar).startswith(("FILE", "DIR")):
            completer = shtab.DIRECTORY if str(action.metavar) == "DIR" else shtab.FILE
        if completer is not None:
            action.complete = completer  # type: ignore[attr-defined]  # shtab reads it
    return parser


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way, and shtab reads it too
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            for verb in action.choices.values():
                yield from _actions(verb)
