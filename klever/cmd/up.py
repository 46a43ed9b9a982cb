"""`klever up`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal

from klever.client.config import Server, config_path, update_config
from klever.cmd.certificates import fingerprint
from klever.cmd.data import DataDirectory
from klever.cmd.embedded import Embedded
from klever.cmd.logs import add_log_flags, set_up_logging
from klever.cmd.memory import return_freed_memory
from klever.cmd.migrations import migrate
from klever.cmd.options import (
    Options,
    StoreOptions,
    add_machine_flags,
    add_store_flags,
    machine_options,
    store_options,
)
from klever.cmd.plugins import log_plugins
from klever.disk import disk_errors
from klever.errors import KleverError

log = logging.getLogger(__name__)

EXAMPLES = """  klever up
  klever up --data ./data --port 9000
  klever up --host 0.0.0.0 --name klever.example.com --tls-cert fullchain.pem --tls-key privkey.pem
  klever up --host 0.0.0.0 --tls-self-signed      (clients: --ca-file DIR/tls/cert.pem)
  klever up --store kubernetes        (objects in the kubeconfig's cluster, processes on this machine)
  klever up --keep-serving            (Servings outlive `klever up`; `klever down` stops them)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_machine_flags(parser)
    add_log_flags(parser)
    parser.add_argument("--keep-serving", action="store_true", help="keep Servings running when `klever up` stops")
    parser.add_argument(
        "--store",
        default="sqlite",
        choices=("sqlite", "kubernetes"),
        help="where to keep objects (default %(default)s)",
    )
    add_store_flags(parser)


def run(args: argparse.Namespace) -> int:
    return_freed_memory()
    set_up_logging(args)
    log_plugins()
    options = machine_options(args, keep_serving=args.keep_serving)
    store = store_options(args, kubernetes=args.store == "kubernetes")
    data = DataDirectory(args.data.absolute())
    data.prepare()
    with data.lock():
        migrate(data.root)
        asyncio.run(_serve(data, options, store))
    return 0


async def _serve(data: DataDirectory, options: Options, store: StoreOptions) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    platform = await Embedded.start(data, options, store)
    try:
        await _run(platform, data, stop)
    finally:  # also if printing fails
        await platform.stop()


async def _run(platform: Embedded, data: DataDirectory, stop: asyncio.Event) -> None:
    """Announce the platform, and return when `stop` is set. Raises the error that ends it."""
    gateway = platform.gateway
    try:
        _write_settings(gateway.local_url, data.token())
    except KleverError as failed:
        log.warning("`klever` and `ormb` will not find this platform by themselves: %s", failed)
    where = f"data in {data.root}; metrics at {platform.metrics_url}"
    print(f"klever is up: {gateway.local_url}  ({where})", flush=True)
    if gateway.beyond_loopback:
        scheme = "https" if gateway.tls else "http"
        print(f"clients may use {scheme}://{', '.join(gateway.authorities)}; add names with --name", flush=True)
    if gateway.tls:
        certificate = gateway.tls.certificate
        print(f"certificate: {certificate}  (SHA-256 fingerprint {fingerprint(certificate)})", flush=True)
    ended = asyncio.create_task(platform.wait())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not ended.done():
        print("stopping", flush=True)
    ended.cancel()
    if ended.done() and not ended.cancelled() and (error := ended.exception()) is not None:
        raise error


def _write_settings(url: str, token: str) -> None:
    """Make this the current server of this user's `klever` and `ormb`. Settings of other servers stay."""
    path = config_path(os.environ)
    with disk_errors(path):
        update_config(path, lambda config: config.with_current(url, Server(token)))
