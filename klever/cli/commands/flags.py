"""Flags that several verbs share."""

from __future__ import annotations

import argparse

from klever.cli.commands.output import JSONPATH

__all__ = ["add_output", "add_server", "add_transport", "add_wait"]


def add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", help="HOST:PORT or URL of the platform (KLEVER_SERVER)")
    parser.add_argument("-n", "--namespace", help="project (KLEVER_NAMESPACE)")
    parser.add_argument("--token", help="token for writes (KLEVER_TOKEN; by default the saved one of the server)")
    add_transport(parser)


def add_transport(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ca-file", metavar="FILE", help="certificates to trust instead of the system's, in PEM (KLEVER_CA_FILE)"
    )
    parser.add_argument(
        "--plaintext",
        action="store_true",
        help="send the token in plain HTTP: only in a private network (KLEVER_PLAINTEXT=true)",
    )


class _Forms(tuple[str, ...]):
    """The forms of output. Any JSONPath template is one."""

    __slots__ = ()

    def __contains__(self, form: object) -> bool:
        return str(form).startswith(JSONPATH) or super().__contains__(form)


def add_output(parser: argparse.ArgumentParser, *further: str) -> None:
    parser.add_argument(
        "-o",
        "--output",
        choices=_Forms(("table", *further, "json", "yaml", f"{JSONPATH}TEMPLATE")),
        default="table",
        help="output format; templates as in kubectl, e.g. jsonpath='{.metadata.name}'",
    )


def add_wait(parser: argparse.ArgumentParser, default: str = "60s") -> None:
    parser.add_argument("--timeout", default=default, help=f"give up after this long, e.g. 90s, 5m (default {default})")
