"""Becomes the tritonserver of this Python's environment: `ENV/bin/python3 launch.py BACKENDS PROGRAMS FLAGS…`.

Only this Python knows the paths of the environment's packages and libpython, so it creates the backend directory
BACKENDS, whose parts are in three places of the wheel, and the library path, and then execs the server. PROGRAMS is the
environment of the server's Python backend. Standard library only.
"""

import ctypes
import os
import struct
import sys
import sysconfig
from pathlib import Path

VERSION = sysconfig.get_config_var("py_version_short")
LIBPYTHON = f"libpython{VERSION}.so.1.0"


class Program(ctypes.Structure):
    """struct sock_fprog of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def libpython_directory() -> str:
    """The directory of the libpython that the backend's stub links to; empty if the loader finds it."""
    for directory in (sysconfig.get_config_var("LIBDIR") or "", f"{sys.base_prefix}/lib"):
        if Path(directory, LIBPYTHON).exists():
            return directory
    try:
        ctypes.CDLL(LIBPYTHON)
    except OSError:
        sys.exit(f"Triton's Python backend needs {LIBPYTHON}, which {sys.base_prefix} does not have: install it")
    return ""


def link_backend(triton: Path, target: Path) -> None:
    """Create `target`, the Python backend: its library, its utilities and the stub of this Python's version."""
    stub = triton / "python_backend_stubs" / VERSION / "triton_python_backend_stub"
    if not stub.exists():
        sys.exit(f"this Triton has no stub for Python {VERSION}")
    target.mkdir(parents=True, exist_ok=True)
    for source in (*(triton / "backends" / "python").iterdir(), stub):
        link = target / source.name
        if not link.is_symlink():
            link.symlink_to(source)


def forbid_links() -> None:
    """Forbid this process and its children to create symbolic links, because the platform connects to sockets by path.

    Source: seccomp(2), linux/filter.h, and the system call table of x86-64. In a sandbox, the process already has
    no_new_privs. Elsewhere, the kernel accepts the filter only from root.
    """
    load_number, refuse, allow = (0x20, 0, 0, 0), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)
    symlink, symlinkat = (0x15, 1, 0, 88), (0x15, 0, 1, 266)
    code = b"".join(struct.pack("=HBBI", *one) for one in (load_number, symlink, symlinkat, refuse, allow))
    program = Program(len(code) // 8, code)
    ctypes.CDLL(None).prctl(22, 2, ctypes.byref(program), 0, 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def main() -> None:
    packages = Path(sysconfig.get_path("purelib"))
    triton = packages / "pytriton" / "tritonserver"
    backends, programs, *flags = sys.argv[1:]
    link_backend(triton, Path(backends, "python"))
    environment = {
        **os.environ,
        # The stub runs the first python3 on the path, whatever the user's variables are.
        "PATH": f"{programs}/bin:/usr/local/bin:/usr/bin:/bin",
        "LD_LIBRARY_PATH": os.pathsep.join(
            filter(None, [str(packages / "nvidia_pytriton.libs"), libpython_directory()])
        ),
    }
    forbid_links()
    server = str(triton / "bin" / "tritonserver")
    os.execve(server, [server, f"--backend-directory={backends}", *flags], environment)  # noqa: S606 - no shell wanted


main()
