"""`ormb completion bash|zsh`."""

from __future__ import annotations

import argparse

import shtab

from klever.cli import ormb

EXAMPLES = """\
  source <(ormb completion bash)
  ormb completion zsh > "${fpath[1]}/_ormb\""""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh"))


def run(args: argparse.Namespace) -> int:
    print(shtab.complete(ormb.build_parser(arguments=True), args.shell))
    return 0
