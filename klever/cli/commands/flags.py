"""Flags that several verbs share."""

from __future__ import annotations

import argparse

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


def add_output(parser: argparse.ArgumentParser, *further: str) -> None:
    choices = ("table", *further, "json", "yaml")
    parser.add_argument("-o", "--output", choices=choices, default="table", help="output format")


def add_wait(parser: argparse.ArgumentParser, default: str = "60s") -> None:
    parser.add_argument("--timeout", default=default, help=f"give up after this long, e.g. 90s, 5m (default {default})")
