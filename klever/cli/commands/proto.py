"""`klever proto export DIR`."""

from __future__ import annotations

import argparse
import shutil
from importlib.resources import as_file, files
from pathlib import Path

from klever.errors import InvalidError

EXAMPLES = "  klever proto export protos        (then: buf generate protos, or protoc -I protos)"

_PACKAGE = "klever.v1alpha1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["export"], help="export: write the .proto files of the API")
    parser.add_argument("directory", metavar="DIR", type=Path, help="where to write them; it is made")


def run(args: argparse.Namespace) -> int:
    directory: Path = args.directory
    if directory.exists() and not directory.is_dir():
        raise InvalidError(f"{directory} is not a directory")
    with as_file(files(_PACKAGE) / "proto") as protos:
        shutil.copytree(protos, directory, dirs_exist_ok=True)
    for path in sorted(directory.rglob("*.proto")):
        print(path)
    return 0
