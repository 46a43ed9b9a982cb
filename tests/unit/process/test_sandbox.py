"""What a hostile payload reaches, at each level that this machine offers."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from klever.cmd.programs import bubblewraps
from klever.process import Confinement, Level, Network, ProcessManager, ProcessSpec, ProcessState, Sandbox
from klever.process.sandbox import NET_ABI
from klever.process.sandbox.choose import available, choose
from klever.process.sandbox.restrict import abi_version

pytestmark = pytest.mark.slow

Ended = Callable[[ProcessManager, str], Awaitable[ProcessState]]

CONFINED = [confinement for confinement in available(bubblewraps()) if confinement.level is not Level.NONE]

PYTHON = f"{sys.base_prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
SHARED_MEMORY = Path("/dev/shm/klever-test-cell")
PROBE = """
import ctypes, json, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def attempt(call):
    try:
        return [True, call()]
    except BaseException as error:
        return [False, f"{type(error).__name__}: {error}"]
def system(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
results = {}
print(json.dumps({name: attempt(eval(f"lambda: {code}")) for name, code in json.loads(sys.argv[1]).items()}))
"""


@dataclass
class Cell:
    """One confinement, and what lies around it."""

    confinement: Confinement
    root: Path
    processes: ProcessManager = field(init=False)

    def __post_init__(self) -> None:
        self.processes = ProcessManager(self.root / "processes", confinement=self.confinement)

    @property
    def work(self) -> Path:
        return self.root / "processes" / "p" / "work"

    def spec(self, argv: tuple[str, ...], network: Network = Network.NONE, **rest: Any) -> ProcessSpec:
        """A process that sees this Python and the directory `model`."""
        limits = {name: rest.pop(name) for name in ("write_bytes", "processes", "ports") if name in rest}
        (self.root / "model").mkdir(exist_ok=True)
        sandbox = Sandbox((Path(sys.base_prefix), self.root / "model"), (self.work,), network, **limits)
        return ProcessSpec("p", argv, {"PATH": "/usr/bin:/bin"}, self.work, sandbox=sandbox, **rest)

    async def attempt(
        self, ended: Ended, attempts: dict[str, str], network: Network = Network.NONE, **rest: Any
    ) -> dict[str, tuple[bool, Any]]:
        """Evaluate expressions inside; returns for each whether it worked, and its value or error."""
        await self.processes.start(self.spec((PYTHON, "-I", "-c", PROBE, json.dumps(attempts)), network, **rest))
        state = await ended(self.processes, "p")
        lines = [line async for line in self.processes.logs("p")]
        assert state.exit_code == 0, (state, lines)
        return {name: (worked, value) for name, (worked, value) in json.loads(lines[-1]).items()}


@pytest.fixture(params=CONFINED, ids=[confinement.level for confinement in CONFINED])
def cell(request: pytest.FixtureRequest, tmp_path: Path) -> Cell:
    return Cell(request.param, tmp_path)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("secret")
    return path


def test_the_strongest_level_is_chosen_and_can_be_lowered() -> None:
    levels = [confinement.level for confinement in available(bubblewraps())]
    assert choose(bubblewraps()).level is levels[0]
    assert levels == sorted(levels, key=list(Level).index)
    assert choose(bubblewraps(), Level.NONE).level is Level.NONE
    assert choose((), Level.FULL).level is not Level.FULL


async def test_it_sees_its_own_files_and_nothing_else(cell: Cell, secret: Path, ended: Ended) -> None:
    (cell.root / "model").mkdir()
    (cell.root / "model" / "weights").write_text("weights")
    (cell.root / "model").chmod(0o755)
    results = await cell.attempt(
        ended,
        {
            "model": f"open('{cell.root}/model/weights').read()",
            "own": "(open('own', 'w').write('x'), open('own').read())[1]",
            "shared memory": f"open('{SHARED_MEMORY}', 'w').write('x')",
            "token": f"open('{secret}').read()",
            "home": "os.listdir('/root') and os.listdir('/home')",
            "passwords": "open('/etc/shadow').read()",
            "accounts": "open('/etc/passwd').read()",
            "write the model": f"open('{cell.root}/model/weights', 'w')",
            "write beside": f"open('{cell.root}/beside', 'w')",
            "link out": f"(os.symlink('{secret}', 'link'), open('link').read())",
            "hard link": f"os.link('{secret}', 'hard')",
            "the system": "open('/usr/bin/mine', 'w')",
            "core pattern": "open('/proc/sys/kernel/core_pattern', 'w')",
            "devices": "open('/dev/mem', 'rb') or os.listdir('/dev/disk')",
        },
    )
    allowed = {name for name, (worked, _) in results.items() if worked}
    await asyncio.to_thread(SHARED_MEMORY.unlink, missing_ok=True)
    assert allowed == {"model", "own", "shared memory"}, results
    assert await asyncio.to_thread(secret.read_text) == "secret"


async def test_names_of_other_files_are_hidden(tmp_path: Path, secret: Path, ended: Ended) -> None:
    """Landlock shows names in /tmp, where Triton makes directories: only `full` hides them."""
    full = [confinement for confinement in CONFINED if confinement.level is Level.FULL]
    for cell in (Cell(confinement, tmp_path) for confinement in full):
        results = await cell.attempt(ended, {"names": f"sorted(os.listdir('{tmp_path}'))", "root": "os.listdir('/')"})
        assert results["names"] == (True, ["model", "processes"])
        assert "root" not in results["root"][1] or str(sys.base_prefix).startswith("/root")


async def test_it_sees_the_processors_and_that_the_machine_shows_no_other_device(cell: Cell, ended: Ended) -> None:
    """ONNX Runtime warns of its search for GPUs if it may not even ask whether there are any."""
    attempts = {"processors": "open('/sys/devices/system/cpu/online').read()", "gpus": "os.stat('/sys/class/no-gpu')"}
    results = await cell.attempt(ended, attempts)
    assert results["processors"][0], results
    assert "FileNotFoundError" in results["gpus"][1]


async def test_it_has_no_network(cell: Cell, ended: Ended) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        path = cell.root / "platform.sock"
        local.bind(str(path))
        local.listen()
        port = server.getsockname()[1]
        results = await cell.attempt(
            ended,
            {
                "listen": "(s := socket.socket(socket.AF_UNIX), s.bind('s'), s.listen())[1]",
                "tcp": f"socket.create_connection(('127.0.0.1', {port}), timeout=2) and 1",
                "udp": f"socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))",
                "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) and 1",
                "packets": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) and 1",
                "vsock": "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) and 1",
                "unix socket": f"socket.socket(socket.AF_UNIX).connect('{path}')",
                "abstract": r"socket.socket(socket.AF_UNIX).connect('\0klever')",
                "datagrams": "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) and 1",
            },
        )
    assert {name for name, (worked, _) in results.items() if worked} == {"listen"}, results


async def test_a_server_listens_on_its_ports_and_connects_to_nothing(cell: Cell, ended: Ended) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as free, socket.socket() as other:
        port = server.getsockname()[1]
        for unused in (free, other):
            unused.bind(("127.0.0.1", 0))
        own, another = free.getsockname()[1], other.getsockname()[1]
        free.close()
        other.close()
        results = await cell.attempt(
            ended,
            {
                "listen": f"socket.create_server(('127.0.0.1', {own})) and 1",
                "another port": f"socket.create_server(('127.0.0.1', {another})) and 1",
                "IPv6": f"socket.create_server(('::1', {port}), family=socket.AF_INET6) and 1",
                "multipath": f"socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).bind(('', {another})) or 1",
                "any address": f"socket.create_server(('0.0.0.0', {another})) and 1",
                "connect": f"socket.create_connection(('127.0.0.1', {port}), timeout=2) and 1",
                "fast open": f"socket.socket().sendto(b'x', 0x20000000, ('127.0.0.1', {port}))",
                "udp": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM) and 1",
            },
            Network.LISTEN,
            ports=(own,),
        )
    unlimited = {"another port", "any address"} if abi_version() < NET_ABI else set()
    assert {name for name, (worked, _) in results.items() if worked} == {"listen"} | unlimited, results


async def test_it_makes_no_privileged_call(cell: Cell, ended: Ended) -> None:
    numbers = {
        "ptrace": "101, 16, os.getppid(), 0, 0",
        "mount": "165, 0, 0, 0, 0, 0",
        "unshare users": "272, 0x10000000",
        "clone users": "56, 0x10000011, 0, 0, 0, 0",
        "io_uring": "425, 1, 0",
        "bpf": "321, 0, 0, 0",
        "keyctl": "250, 0, -3, 0",
        "perf": "298, 0, 0, -1, -1, 0",
        "userfaultfd": "323, 0",
        "chroot": "161, b'.'",
        "open by handle": "304, 0, 0, 0",
        "x32 getpid": "0x40000000 + 39",
        "shmget": "29, 1, 4096, 0o1600",
    }
    calls = {name: f"system({arguments})" for name, arguments in numbers.items()}
    results = await cell.attempt(ended, calls | {"status": "open('/proc/self/status').read()"})
    status = dict(line.split(":\t", 1) for line in results.pop("status")[1].splitlines() if ":\t" in line)
    assert [name for name, (worked, _) in results.items() if worked] == []
    assert {int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} <= (
        {0} if os.geteuid() == 0 else {0, int(status["CapBnd"], 16)}
    )
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a process as another user")
async def test_it_is_another_user_and_sees_no_other_process(cell: Cell, ended: Ended) -> None:
    others = {"user": "os.getuid()", "signal": f"os.kill({os.getpid()}, 0)"}
    others["environment"] = f"open('/proc/{os.getpid()}/environ', 'rb').read()"
    results = await cell.attempt(ended, others)
    assert not results["signal"][0]
    assert not results["environment"][0]
    if cell.confinement.uses_another_user(cell.spec(("x",)).sandbox or Sandbox((), ())):
        assert results["user"][1] != 0


async def test_only_a_plain_file_is_its_last_word(cell: Cell, secret: Path, ended: Ended) -> None:
    """The platform reads the termination message, and may be root."""
    await cell.processes.start(cell.spec(("sh", "-c", f'ln -s {secret} "$KLEVER_TERMINATION_LOG"; exit 3')))
    state = await ended(cell.processes, "p")
    assert state.exit_code == 3
    assert "secret" not in state.message
    await cell.processes.start(cell.spec(("sh", "-c", 'mkfifo "$KLEVER_TERMINATION_LOG"; exit 4')))
    assert (await ended(cell.processes, "p")).exit_code == 4
    await cell.processes.start(cell.spec(("sh", "-c", 'echo why > "$KLEVER_TERMINATION_LOG"; exit 5')))
    assert (await ended(cell.processes, "p")).message == "why"


async def test_variables_of_the_platform_win(cell: Cell, ended: Ended) -> None:
    spec = cell.spec(("sh", "-c", 'echo "$KLEVER_TERMINATION_LOG $KLEVER_PROCESS $HOME"'))
    mine = {**spec.env, "KLEVER_TERMINATION_LOG": "/etc/passwd", "KLEVER_PROCESS": "/elsewhere"}
    await cell.processes.start(ProcessSpec(**{n: getattr(spec, n) for n in spec.__slots__} | {"env": mine}))
    await ended(cell.processes, "p")
    (line,) = [line async for line in cell.processes.logs("p")]
    assert line.split() == [f"{cell.work}/termination", str(cell.root / "processes" / "p")]


async def test_a_process_that_fills_the_disk_is_ended(cell: Cell, ended: Ended) -> None:
    script = "while :; do head -c 4000000 /dev/zero > f$i; i=$((i + 1)); done"
    await cell.processes.start(cell.spec(("sh", "-c", script), write_bytes=64 << 20))
    assert (await ended(cell.processes, "p")).reason == "DiskFull"


async def test_no_file_grows_beyond_the_limit_of_the_disk(cell: Cell, ended: Ended) -> None:
    """One call could fill the disk before anybody looks."""
    results = await cell.attempt(
        ended,
        {
            "small": "os.posix_fallocate(os.open('a', os.O_RDWR | os.O_CREAT), 0, 16 << 20)",
            "large": "os.posix_fallocate(os.open('b', os.O_RDWR | os.O_CREAT), 0, 96 << 20)",
        },
        write_bytes=64 << 20,
    )
    assert results["small"][0]
    assert "File too large" in results["large"][1]


async def test_a_fork_bomb_is_ended(cell: Cell, ended: Ended) -> None:
    script = "for i in $(seq 200); do sleep 60 & done; wait"
    await cell.processes.start(cell.spec(("sh", "-c", script), processes=50))
    assert (await ended(cell.processes, "p")).reason == "TooManyProcesses"


async def test_it_ends_gracefully_and_leaves_nothing(
    cell: Cell, eventually: Callable[[Callable[[], bool]], Awaitable[None]]
) -> None:
    script = 'trap "echo bye; exit 0" TERM; sleep 60 & echo up; wait'
    await cell.processes.start(cell.spec(("sh", "-c", script)))
    log = cell.root / "processes" / "p" / "log"
    await eventually(lambda: log.exists() and "up" in log.read_text())
    await cell.processes.stop("p", grace_s=10)
    assert log.read_text() == "up\nbye\n"
    state = cell.processes.get("p")
    assert state is not None
    assert (state.phase, state.exit_code, state.level) == ("Exited", 0, cell.confinement.level)
    assert list(_running(cell.work)) == []


async def test_it_dies_with_its_shim(cell: Cell, eventually: Callable[[Callable[[], bool]], Awaitable[None]]) -> None:
    await cell.processes.start(cell.spec(("sh", "-c", "sleep 60 & echo up; wait")))
    log = cell.root / "processes" / "p" / "log"
    await eventually(lambda: log.exists() and "up" in log.read_text())
    os.kill(json.loads((cell.root / "processes" / "p" / "state.json").read_text())["shim_pid"], 9)
    await cell.processes.stop("p")
    await eventually(lambda: list(_running(cell.work)) == [])


def _running(directory: Path) -> Iterator[str]:
    """Processes whose working directory is below a directory."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(directory):
                yield (process / "cmdline").read_text()
        except OSError:
            continue


async def test_a_program_that_is_missing_says_so(cell: Cell, ended: Ended) -> None:
    await cell.processes.start(cell.spec(("no-such-program",)))
    state = await ended(cell.processes, "p")
    assert state.exit_code
    assert "no-such-program" in state.message


async def test_a_task_reaches_a_socket_that_it_is_shown_and_no_network(cell: Cell, ended: Ended) -> None:
    directory = cell.root / "model"
    await asyncio.to_thread(directory.mkdir)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(directory / "registry.sock"))
        local.listen()
        await asyncio.to_thread((directory / "registry.sock").chmod, 0o666)
        results = await cell.attempt(
            ended,
            {
                "socket": f"socket.socket(socket.AF_UNIX).connect('{directory}/registry.sock')",
                "tcp": f"socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), timeout=2) and 1",
                "udp": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM) and 1",
            },
            Network.LOCAL,
        )
    assert {name for name, (worked, _) in results.items() if worked} == {"socket"}, results


HOLDERS = {
    "files without a name": """
for _ in range(4):
    file = os.open("file", os.O_RDWR | os.O_CREAT)
    os.unlink("file")
    hold(file)""",
    "files that are mapped alone": """
mapped = []
for _ in range(4):
    file = os.open("file", os.O_RDWR | os.O_CREAT)
    os.unlink("file")
    os.ftruncate(file, 16 << 20)
    mapped.append(mmap.mmap(file, 16 << 20))
    hold(file)
    os.close(file)""",
    "a path that is too long": """
for _ in range(30): os.mkdir("d" * 200); os.chdir("d" * 200)
for number in range(4): hold(os.open(str(number), os.O_RDWR | os.O_CREAT))""",
}


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
async def test_disk_space_is_counted_wherever_it_is(cell: Cell, holder: str, ended: Ended) -> None:
    program = (
        "import mmap, os, time\n"
        "def hold(file): [os.write(file, bytes(1 << 20)) for _ in range(16)]\n"
        f"{holder}\ntime.sleep(600)"
    )
    await cell.processes.start(cell.spec((PYTHON, "-I", "-c", program), write_bytes=32 << 20))
    assert (await ended(cell.processes, "p")).reason == "DiskFull"


async def test_memory_that_no_process_has_mapped_is_counted(cell: Cell, ended: Ended) -> None:
    program = (
        "import mmap, time\n"
        "memory = mmap.mmap(-1, 256 << 20)\n"
        "for at in range(0, 256 << 20, 1 << 20):\n"
        "    memory[at : at + (1 << 20)] = b'x' * (1 << 20)\n"
        "    memory.madvise(mmap.MADV_DONTNEED, at, 1 << 20)\n"
        "time.sleep(600)"
    )
    await cell.processes.start(cell.spec((PYTHON, "-I", "-c", program), memory_bytes=96 << 20))
    assert (await ended(cell.processes, "p")).reason == "OOMKilled"


async def test_there_are_no_files_in_memory(cell: Cell, ended: Ended) -> None:
    results = await cell.attempt(ended, {"memfd": "os.memfd_create('x')"})
    assert not results["memfd"][0], results


async def test_it_changes_no_other_process(cell: Cell, ended: Ended) -> None:
    """Without another user, as at level `landlock`, a process of the platform is one of the payload's own user."""
    me = os.getpid()
    results = await cell.attempt(
        ended,
        {
            "its own limits": "system(302, 0, 7, None, None)",
            "limits": f"system(302, {me}, 7, None, None)",
            "signals": f"os.kill({me}, 0)",
            "priority": f"os.setpriority(os.PRIO_PROCESS, {me}, 19)",
            "processors": f"os.sched_setaffinity({me}, os.sched_getaffinity(0))",
        },
    )
    assert {name for name, (worked, _) in results.items() if worked} == {"its own limits"}, results


async def test_it_removes_no_file_of_others(cell: Cell, ended: Ended) -> None:
    """Level `landlock` lets Triton's Python backend make and remove directories in /tmp."""
    with tempfile.NamedTemporaryFile(dir="/tmp") as other:
        results = await cell.attempt(ended, {"remove": f"os.unlink('{other.name}')"})
        assert not results["remove"][0], results


async def test_threads_are_limited(cell: Cell, ended: Ended) -> None:
    """One thread bomb takes all process numbers of a usual machine: nothing starts on it any more."""
    program = (
        "import _thread, time\n"
        "_thread.stack_size(65536)\n"
        "for _ in range(200): _thread.start_new_thread(time.sleep, (600,))\n"
        "time.sleep(600)"
    )
    await cell.processes.start(cell.spec((PYTHON, "-I", "-c", program), processes=8))
    state = await ended(cell.processes, "p")
    assert state.reason == "TooManyProcesses" or "can't start new thread" in state.message
