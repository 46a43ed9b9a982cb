"""What `klever up` and `klever controllers` are told, and the flags that tell it."""

from __future__ import annotations

import argparse
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from klever.cmd.data import default_cache, default_data
from klever.errors import InvalidError
from klever.limits import DEFAULTS, Limits
from klever.process import Level

__all__ = [
    "Options",
    "StoreOptions",
    "add_machine_flags",
    "add_store_flags",
    "address",
    "machine_options",
    "port",
    "port_to_bind",
    "store_options",
]


@dataclass(frozen=True, slots=True)
class Options:
    """How this machine works."""

    host: str
    port: int
    names: tuple[str, ...]
    keep_serving: bool
    environments: Path
    cache_bytes: int
    path: str
    """PATH on which users' own commands are found."""
    sandbox: Level = Level.FULL
    """The strongest level of the sandbox that is tried."""
    command_paths: tuple[Path, ...] = ()
    """Directories that users' own commands may read."""
    command_network: bool = False
    """Whether users' own commands make connections."""
    registries: Path | None = None
    """Table of further registries; by default registries.yaml of the data directory."""
    metrics_port: int = 0
    """On loopback; 0 for any that is free."""
    limits: Limits = DEFAULTS
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_self_signed: bool = False
    plaintext: bool = False
    """Tokens may travel in plain HTTP beyond loopback."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Where the objects are: in the data directory, or on the API server of a kubeconfig's context."""

    kubernetes: bool = False
    kubeconfig: Path | None = None
    context: str = ""
    lease_namespace: str = "klever-system"


def add_machine_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=default_data(), metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--host",
        type=address,
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to bind (default %(default)s); beyond loopback it needs TLS, and every request the token",
    )
    parser.add_argument("--port", type=port_to_bind, default=8080, help="the one port (default %(default)s)")
    parser.add_argument(
        "--name", action="append", default=[], metavar="HOST", help="another host name that clients use"
    )
    _add_tls_flags(parser)
    parser.add_argument(
        "--command-path",
        action="append",
        type=Path,
        default=[],
        metavar="DIR",
        help="a directory that users' own commands may read",
    )
    parser.add_argument(
        "--command-network", action="store_true", help="let users' own commands make network connections"
    )
    parser.add_argument(
        "--sandbox",
        type=Level,
        choices=list(Level),
        default=Level.FULL,
        metavar="LEVEL",
        help="the strongest sandbox to use: full, landlock or none (default: the strongest that this machine offers)",
    )
    parser.add_argument("--model-cache", type=_gibibytes, default=20.0, metavar="GIB", help="disk for unpacked models")
    parser.add_argument(
        "--registries", type=Path, metavar="FILE", help="table of further registries (default: DIR/registries.yaml)"
    )
    parser.add_argument(
        "--metrics-port",
        type=port,
        default=0,
        metavar="PORT",
        help="of Prometheus metrics, on loopback (default: any)",
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value of a limit; may be repeated (the table is in docs/limits.md)",
    )


def _add_tls_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tls-cert", type=Path, metavar="FILE", help="certificate, followed by its chain, in PEM; goes with --tls-key"
    )
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="private key of the certificate, in PEM")
    parser.add_argument(
        "--tls-self-signed", action="store_true", help="make a certificate in DIR/tls, and print its fingerprint"
    )
    parser.add_argument(
        "--plaintext",
        action="store_true",
        help="send tokens in plain HTTP beyond loopback: for a network that is private anyway",
    )


def address(text: str) -> str:
    """Read a flag's value."""
    if text == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        message = f"{text!r} is no IP address (0.0.0.0: all of this machine's)"
        raise argparse.ArgumentTypeError(message) from error


def port(text: str) -> int:
    """Read a flag's value."""
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"must be between 0 and 65535, not {text}")
    return number


def port_to_bind(text: str) -> int:
    """Read a flag's value: a port that others shall know, so not any that is free."""
    try:
        number = port(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"invalid port value: {text!r}") from error
    if not number:
        raise argparse.ArgumentTypeError("0 is no port that clients could be told")
    return number


def _gibibytes(text: str) -> float:
    size = float(text)
    if not 0 < size < 2**30:  # neither is NaN
        raise argparse.ArgumentTypeError(f"{text} is no size of a disk in GiB")
    return size


def add_store_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help="default: $KUBECONFIG, then ~/.kube/config")
    parser.add_argument("--context", default="", help="of the kubeconfig; default: its current one")
    parser.add_argument(
        "--lease-namespace",
        default="klever-system",
        metavar="NS",
        help="where it is settled which of several works (default %(default)s)",
    )


def machine_options(args: argparse.Namespace, *, keep_serving: bool) -> Options:
    """Raises `InvalidError` for a limit that is not one, and if nothing protects tokens beyond loopback."""
    _check_tls(args)
    return Options(
        host=args.host,
        port=args.port,
        names=tuple(args.name),
        keep_serving=keep_serving,
        environments=default_cache() / "environments",
        cache_bytes=int(args.model_cache * 2**30),
        path=os.environ.get("PATH", os.defpath),
        sandbox=args.sandbox,
        command_network=args.command_network,
        command_paths=tuple(path.absolute() for path in args.command_path),
        registries=args.registries,
        metrics_port=args.metrics_port,
        limits=Limits.parse(args.limit),
        tls_certificate=args.tls_cert,
        tls_key=args.tls_key,
        tls_self_signed=args.tls_self_signed,
        plaintext=args.plaintext,
    )


def _check_tls(args: argparse.Namespace) -> None:
    if (args.tls_cert is None) != (args.tls_key is None):
        raise InvalidError("--tls-cert and --tls-key go together: give both")
    if args.tls_cert and args.tls_self_signed:
        raise InvalidError("--tls-cert and --tls-self-signed exclude each other: give one")
    if not (args.tls_cert or args.tls_self_signed or args.plaintext or ipaddress.ip_address(args.host).is_loopback):
        raise InvalidError(
            f"--host {args.host} is beyond loopback, where tokens must not travel in plain text: give --tls-cert FILE "
            "and --tls-key FILE, or --tls-self-signed, or --plaintext if the network is private anyway"
        )


def store_options(args: argparse.Namespace, *, kubernetes: bool) -> StoreOptions:
    """Raises `InvalidError` where a cluster is named that is not used."""
    if not kubernetes and (args.kubeconfig or args.context):
        raise InvalidError("--kubeconfig and --context go with --store kubernetes: give that as well")
    return StoreOptions(kubernetes, args.kubeconfig, args.context, args.lease_namespace)
