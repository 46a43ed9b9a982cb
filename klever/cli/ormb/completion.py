"""`ormb completion bash|zsh|fish`."""

from __future__ import annotations

import argparse

import shtab

from klever.cli import ormb

EXAMPLES = """\
  source <(ormb completion bash)
  ormb completion zsh > "${fpath[1]}/_ormb"
  ormb completion fish > ~/.config/fish/completions/ormb.fish"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def run(args: argparse.Namespace) -> int:
    print(shtab.complete(ormb.build_parser(arguments=True), args.shell))
    return 0
