"""Environment variables that only the platform may set for its processes.

A loader, the C library, a shell, an interpreter or a library reads each of them. A user who set one could run code, or
read and write files. The CRDs reject them for built-in runtimes and tasks. A user's own command may have all except the
platform's. Sources: glibc's sysdeps/generic/unsecvars.h, ld.so(8), bash(1), perlrun(1), and the manuals of CPython,
Ruby, Node.js, OpenJDK, .NET, OpenSSL, curl, CUDA and ONNX Runtime.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["PLATFORM_PATTERN", "RESERVED", "RESERVED_PATTERN", "is_reserved"]

RESERVED: Final[Mapping[str, tuple[str, ...]]] = {
    "the loader and the C library": (
        *("LD_*", "GCONV_PATH", "GETCONF_DIR", "GLIBC_TUNABLES", "HOSTALIASES", "LOCALDOMAIN", "LOCPATH", "NIS_PATH"),
        *("NLSPATH", "RESOLV_HOST_CONF", "RES_OPTIONS", "TZDIR", "MALLOC_TRACE", "MALLOC_CHECK_", "MALLOC_CONF"),
        *("HEAPPROFILE", "CPUPROFILE", "LIBC_FATAL_STDERR_"),
    ),
    "shells and the search for files": (
        *("BASH*", "ENV", "SHELL*", "PS4", "IFS", "CDPATH", "FPATH", "ZDOTDIR", "PROMPT_COMMAND", "PATH", "HOME"),
        *("TMPDIR", "TMP", "TEMP", "XDG_*"),
    ),
    "interpreters": (
        *("PYTHON*", "PERL*", "RUBY*", "GEM_*", "BUNDLE_*", "LUA_*", "NODE_OPTIONS", "NODE_PATH", "NODE_EXTRA_*"),
        *("JAVA_*", "_JAVA_*", "JDK_*", "CLASSPATH", "DOTNET_*", "COR_*", "CORECLR_*"),
    ),
    "libraries": (
        *("OPENSSL_*", "SSL_*", "SSLKEYLOGFILE", "REQUESTS_*", "CURL_*", "NETRC", "KRB5*", "GIT_*", "DOCKER_*"),
        *("ORT_*", "OMP_TOOL*", "CUDA_INJECTION*", "TF_PLUGGABLE_*", "XLA_FLAGS", "GRPC_DEFAULT_SSL_*"),
    ),
    "network clients": ("*_PROXY",),
}
"""Their reader -> the names. `*` stands for any characters. Names with a leading `*` match in any case."""

PLATFORM_PATTERN: Final = "^(?i:klever_)"
"""Variables that no user may set, even for their own command."""


def _pattern(name: str) -> str:
    if name.startswith("*"):
        return f".*(?i:{name[1:]})$"
    return name.removesuffix("*") if name.endswith("*") else f"{name}$"


RESERVED_PATTERN: Final = f"^({'|'.join(_pattern(name) for names in RESERVED.values() for name in names)})"
"""Regular expression (RE2, and Python's) that finds a reserved name."""


def is_reserved(name: str, *, own_command: bool) -> bool:
    """Whether only the platform may set the variable."""
    if re.match(PLATFORM_PATTERN, name):
        return True
    return not own_command and re.match(RESERVED_PATTERN, name) is not None
