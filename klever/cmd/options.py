"""The options of `klever up` and `klever controllers`, and their flags."""

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
    """The options of this machine."""

    host: str
    port: int
    names: tuple[str, ...]
    keep_serving: bool
    environments: Path
    cache_bytes: int
    path: str
    """The PATH for users' own commands."""
    sandbox: Level = Level.FULL
    """The strongest level of the sandbox to try."""
    command_paths: tuple[Path, ...] = ()
    """Directories that users' own commands may read."""
    command_network: bool = False
    """Whether users' own commands may make network connections."""
    openscoring: Path | None = None
    """The jar of the operator's OpenScoring server."""
    registries: Path | None = None
    """The table of further registries; by default registries.yaml in the data directory."""
    metrics_port: int = 0
    """The port on loopback; 0 for any free one."""
    limits: Limits = DEFAULTS
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_self_signed: bool = False
    plaintext: bool = False
    """Whether tokens may be sent in plain HTTP beyond loopback."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """The place of the objects: the data directory, or the API server of a kubeconfig's context."""

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
        help="address to bind (default %(default)s); beyond loopback, TLS and the token are required",
    )
    parser.add_argument("--port", type=port_to_bind, default=8080, help="port to bind (default %(default)s)")
    parser.add_argument(
        "--name", action="append", default=[], metavar="HOST", help="additional host name that clients use"
    )
    _add_tls_flags(parser)
    _add_command_flags(parser)
    _add_runtime_flags(parser)
    parser.add_argument(
        "--registries", type=Path, metavar="FILE", help="table of further registries (default: DIR/registries.yaml)"
    )
    parser.add_argument(
        "--metrics-port",
        type=port,
        default=0,
        metavar="PORT",
        help="port of the Prometheus metrics, on loopback (default: any free port)",
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a limit; may be repeated (docs/limits.md lists the limits)",
    )


def _add_runtime_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model-cache",
        type=_gibibytes,
        default=20.0,
        metavar="GIB",
        help="disk space for unpacked models (default %(default)g)",
    )
    parser.add_argument(
        "--openscoring-jar",
        type=Path,
        metavar="FILE",
        help="serve PMML models with this OpenScoring server instead of PMML4S; it needs java",
    )


def _add_command_flags(parser: argparse.ArgumentParser) -> None:
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
        help="the strongest sandbox to use: full, landlock or none (default: the strongest that works here)",
    )


def _add_tls_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tls-cert", type=Path, metavar="FILE", help="certificate, followed by its chain, in PEM; requires --tls-key"
    )
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="private key of the certificate, in PEM")
    parser.add_argument(
        "--tls-self-signed", action="store_true", help="create a certificate in DIR/tls, and print its fingerprint"
    )
    parser.add_argument(
        "--plaintext",
        action="store_true",
        help="allow tokens in plain HTTP beyond loopback: only for a private network",
    )


def address(text: str) -> str:
    """Parse a flag's value."""
    if text == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        message = f"must be an IP address, not {text!r} (0.0.0.0 means all addresses of this machine)"
        raise argparse.ArgumentTypeError(message) from error


def port(text: str) -> int:
    """Parse a flag's value."""
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"must be between 0 and 65535, not {text}")
    return number


def port_to_bind(text: str) -> int:
    """Parse a flag's value: a fixed port, because clients must know it."""
    try:
        number = port(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"invalid port value: {text!r}") from error
    if not number:
        raise argparse.ArgumentTypeError("must be a fixed port between 1 and 65535, not 0")
    return number


def _gibibytes(text: str) -> float:
    size = float(text)
    if not 0 < size < 2**30:  # NaN fails this too
        raise argparse.ArgumentTypeError(f"must be a size in GiB, not {text}")
    return size


def add_store_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help="default: $KUBECONFIG, then ~/.kube/config")
    parser.add_argument("--context", default="", help="context of the kubeconfig; default: its current context")
    parser.add_argument(
        "--lease-namespace",
        default="klever-system",
        metavar="NS",
        help="namespace of the Lease that elects the leader (default %(default)s)",
    )


def machine_options(args: argparse.Namespace, *, keep_serving: bool) -> Options:
    """Return the options. Raises `InvalidError` for an invalid limit, or if tokens are unprotected beyond loopback."""
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
        openscoring=args.openscoring_jar and args.openscoring_jar.absolute(),
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
        raise InvalidError("--tls-cert and --tls-key must be given together")
    if args.tls_cert and args.tls_self_signed:
        raise InvalidError("--tls-cert and --tls-self-signed are mutually exclusive: give one")
    if not (args.tls_cert or args.tls_self_signed or args.plaintext or ipaddress.ip_address(args.host).is_loopback):
        raise InvalidError(
            f"--host {args.host} is beyond loopback, where tokens must not be sent in plain text: give --tls-cert FILE "
            "and --tls-key FILE, or --tls-self-signed, or --plaintext if the network is private"
        )


def store_options(args: argparse.Namespace, *, kubernetes: bool) -> StoreOptions:
    """Return the options. Raises `InvalidError` for flags of a cluster without --store kubernetes."""
    if not kubernetes and (args.kubeconfig or args.context):
        raise InvalidError("--kubeconfig and --context require --store kubernetes")
    return StoreOptions(kubernetes, args.kubeconfig, args.context, args.lease_namespace)
