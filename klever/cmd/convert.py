"""`klever convert`: a model directory here, or a version in a registry, into another format."""

from __future__ import annotations

import argparse
from pathlib import Path

from klever.cli.commands.client import connect
from klever.cli.commands.conversions import convert_version
from klever.cli.commands.flags import add_server, add_wait
from klever.cli.commands.output import seconds
from klever.cli.terminal import escaped
from klever.cmd.conversion import convert_directory, find_format
from klever.errors import InvalidError
from klever.process.resources import check_resources, read_resources

EXAMPLES = """  klever convert team/digits:v1 --to ONNX
  klever convert team/digits:v1 --to ONNX --tag v1-onnx --env TOLERANCE=1e-4
  klever convert ./digits --to ONNX -o ./digits-onnx
  klever convert ./digits --to ONNX --quantize int8 -o ./digits-int8"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="REF|MODEL_DIR", help="a version, or a directory that contains model/")
    parser.add_argument("--to", required=True, metavar="FORMAT", help="the format to write, e.g. ONNX")
    parser.add_argument("--tag", default="", help="tag of the new version; by default TAG-FORMAT in lower case")
    parser.add_argument(
        "-o", "--output-directory", type=Path, metavar="DIR", help="where to write a converted MODEL_DIR"
    )
    parser.add_argument("--quantize", choices=("int8",), help="store weights in 8 bits; the model must be ONNX")
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable of the job, e.g. TOLERANCE=1e-4",
    )
    parser.add_argument(
        "--allow-code", action="store_true", help="convert a MODEL_DIR whose model is code, which the conversion runs"
    )
    parser.add_argument(
        "--memory", default="", metavar="BYTES", help="memory limit, e.g. 4Gi; the default depends on the two formats"
    )
    add_wait(parser, "15m")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    variables = dict(_pair(text) for text in args.env)
    memory = _memory(args.memory)
    directory = Path(args.source)
    if not directory.is_dir():
        if args.source.startswith((".", "/")):
            raise InvalidError(f"{args.source} must be a directory")
        line = convert_version(
            connect(args),
            args.source,
            args.to,
            tag=args.tag,
            variables=variables,
            quantize=bool(args.quantize),
            memory=args.memory,
            timeout=seconds(args.timeout),
        )
        print(escaped(line))
        return 0
    if args.output_directory is None:
        raise InvalidError("-o DIR is required: it names the directory of the converted model")
    if args.output_directory.exists():
        raise InvalidError(f"{args.output_directory} already exists: name a new directory with -o")
    if args.to == find_format(directory) and not args.quantize:
        raise InvalidError(
            f"{directory} already has the format {args.to}; --quantize int8 stores its weights in 8 bits"
        )
    line = convert_directory(directory, args.to, args.output_directory, variables, memory, allow_code=args.allow_code)
    print(escaped(line))
    return 0


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise InvalidError(f"--env {text}: expected NAME=VALUE")
    return name, value


def _memory(text: str) -> int:
    """Return a quantity such as `4Gi` in bytes, 0 for an empty one."""
    limits = {"limits": {"memory": text}} if text else {}
    if list(check_resources(limits)):
        raise InvalidError(f"--memory {text}: must be a number of bytes such as 4Gi")
    return read_resources(limits).memory_bytes
