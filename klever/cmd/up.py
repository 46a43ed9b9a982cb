"""`klever up`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from pathlib import Path

import yaml

from klever.cli.settings import config_path
from klever.cmd.data import DataDirectory, default_cache, default_data
from klever.cmd.embedded import Embedded, Options

EXAMPLES = """  klever up
  klever up --data ./data --port 9000
  klever up --keep-serving            (Servings go on when it stops; `klever down` stops them)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=default_data(), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind; beyond loopback all needs the token")
    parser.add_argument("--port", type=int, default=8080, help="the one port (default %(default)s)")
    parser.add_argument(
        "--name", action="append", default=[], metavar="HOST", help="another host name that clients use"
    )
    parser.add_argument("--keep-serving", action="store_true", help="let Servings go on when it stops")
    parser.add_argument("--allow-commands", action="store_true", help="let Servings run arbitrary commands")
    parser.add_argument("--model-cache", type=float, default=20.0, metavar="GIB", help="disk for unpacked models")
    parser.add_argument("--log-level", default="WARNING", choices=("DEBUG", "INFO", "WARNING", "ERROR"))


def run(args: argparse.Namespace) -> int:
    logging.basicConfig(level=args.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    data = DataDirectory(args.data.absolute())
    data.prepare()
    options = Options(
        host=args.host,
        port=args.port,
        names=tuple(args.name),
        keep_serving=args.keep_serving,
        allow_commands=args.allow_commands,
        environments=default_cache() / "environments",
        cache_bytes=int(args.model_cache * 2**30),
        path=os.environ.get("PATH", os.defpath),
    )
    with data.lock():
        _write_settings(options, data)
        asyncio.run(_serve(data, options))
    return 0


async def _serve(data: DataDirectory, options: Options) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    platform = await Embedded.start(data, options)
    print(f"klever is up: {platform.url}  (data in {data.root})", flush=True)
    ended = asyncio.create_task(platform.wait())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not ended.done():
        print("stopping", flush=True)
    ended.cancel()
    await platform.stop()
    if ended.done() and not ended.cancelled() and (error := ended.exception()) is not None:
        raise error


def _write_settings(options: Options, data: DataDirectory) -> None:
    """Tell this user's `klever` and `ormb` where the server is, and the token."""
    path = config_path(os.environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {"server": f"{options.host}:{options.port}", "namespace": "default", "token": data.token()}
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        yaml.safe_dump(settings, file, sort_keys=False)
