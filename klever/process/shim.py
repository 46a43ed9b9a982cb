# pathlib and contextlib would add a megabyte to each of many shims:
# ruff: noqa: PTH102, PTH104, PTH106, PTH108, PTH115, PTH116, PTH123, PTH208, SIM105
"""The shim: owns one child process, whatever becomes of the control plane.

Run as `python -I -S shim.py DIRECTORY` with a JSON object on standard input: `spec` holds the fields of
`klever.process.ProcessSpec`, `run` those of `klever.process.record.Run`, which says what the shim really starts (a
sandbox around the process). It forks and the first process ends: the shim belongs to nobody, in a session of its own.
Files in DIRECTORY:

    state.json       the record: specification, process ids, phase, exit; replaced atomically
    state.reserve    disk blocks for the next record, so that an exit is recorded on a full disk
    log, log.1       output of the child, rotated
    lock             held while the shim lives: a second shim for the directory gives up
    grace            written by whoever stops the shim: seconds from SIGTERM to SIGKILL, instead of the specification's

The child runs in the cgroups of `run` (`klever.process.cgroups`), which exist as long as the shim. The shim itself
watches the limits that have no cgroup.

SIGTERM stops the payload, which is the child or what a sandbox runs, and then the shim. The shim is the reaper of all
that descends from the child and leaves none of it; a child dies with its shim. Standard library only, and little of it:
it is resident once per process. It is one file, because a program that runs with -I and -S imports no sibling.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import select
import signal
import stat
import sys
import time

TYPE_CHECKING = False  # as in typing, which is not worth its memory here
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "GRACE",
    "LOG",
    "MAX_MESSAGE",
    "OLD_LOG",
    "OWNER",
    "STATE",
    "TASKS_PER_PROCESS",
    "TERMINATION_LOG",
    "Shim",
    "main",
    "open_input",
    "start_ticks",
]

STATE = "state.json"
LOG = "log"
OLD_LOG = "log.1"
GRACE = "grace"
TERMINATION_LOG = "KLEVER_TERMINATION_LOG"
"""Environment variable of the child: the file for what it has to say at its end."""
OWNER = "KLEVER_PROCESS"
"""Environment variable of the child: the directory, by which the descendants of a lost shim are found."""
MAX_MESSAGE = 4096
"""Bytes of a termination message that are kept: Kubernetes' bound."""
TASKS_PER_PROCESS = 8
"""The kernel counts threads, a sandbox processes: what the kernel allows for each, between looks of the shim."""

_CHUNK = 65536
_LOOK_S = (0.02, 0.09)
"""Seconds between looks at a limited memory: the shorter the nearer to the limit."""
_IDLE_LOOK_S = 1.0
"""Seconds between looks at the disk space and the number of processes."""
_GROUP_POLL_S = 0.01
_GROUP_POLLS = 100
"""How often the removal of a cgroup is tried while the kernel is busy with processes that have ended."""
_SHARED_MEMORY = ("/memfd:", "/dev/zero (deleted)", "/dev/shm/")  # noqa: S108 - how proc(5) names it
_MAX_FILES = 100_000
"""Files that a look at the disk space counts at most: more are too many."""
_OOM_SCORE = 500
"""Makes the kernel end the payload before the platform when the machine runs out of memory."""
_INPUTS_FROM = 64
"""Descriptors of inputs are above the numbers by which a child expects them."""
_SWEEP_S = 10.0
_SWEEP_POLL_S = 0.005
_FIRST_BACKOFF_S = 0.1
_MAX_BACKOFF_S = 30.0
_STEADY_S = 60.0
"""A child that ran this long before it ended is started again as if it had never failed."""
_PR_SET_PDEATHSIG = 1
_RLIMIT_FSIZE, _RLIMIT_CORE, _RLIMIT_NPROC = 1, 4, 6
_MADV_DONTNEED = 4
_PR_SET_CHILD_SUBREAPER = 36


class Shim:
    """One child, from its start to the record of its end."""

    def __init__(self, directory: str, spec: dict[str, Any], run: dict[str, Any]) -> None:
        self.directory = directory
        self.spec = spec
        self.run = run
        self.inputs = {int(number): open_input(bytes.fromhex(content)) for number, content in run["inputs"].items()}
        self.me = os.getpid()
        self.record: dict[str, Any] = {"spec": spec, "shim_pid": self.me, "shim_ticks": start_ticks(self.me)}
        self.groups: dict[str, Any] = dict(run["groups"])
        self.record |= {"user": run["user"], "level": run["level"]}
        self.record["groups"] = sorted({group["path"] for group in self.groups.values()})
        self.record |= {"phase": "Starting", "pid": None, "started_at": None, "restarts": 0}
        self.record |= {"exited_at": None, "exit_code": None, "reason": "", "message": ""}
        self.log = _Log(directory, spec["log_bytes"])
        self.deadline = time.monotonic() + spec["timeout_s"] if spec["timeout_s"] else 0.0
        self.kill_at = 0.0
        self.look_at = time.monotonic() if spec["memory_bytes"] or run["write"] else 0.0
        self.look_at_disk = self.look_at
        self.unseen = 0  # bytes of shared memory that no process has mapped, as the last look at the disk found
        self.stopping = False
        self.backoff_s = 0.0
        self.pid = 0
        self.output = -1
        self.status: int | None = None
        self.verdict = ("", "")  # reason and message, where a limit ended the child
        self.events = (0, 0)  # of the groups, before the child started
        self.libc = ctypes.CDLL(None)
        self.libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.wakeup, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)

    def start(self) -> None:
        """Record the process and start it the first time; raises `OSError` if the record cannot be kept."""
        self._write_record()
        self._spawn()
        try:
            self._write_record()
        except OSError:
            self._sweep()  # what cannot be found again must not run
            self._remove_groups()
            raise

    def supervise(self) -> None:
        """Stay until the child has ended for good, and record how."""
        while self.pid:
            began = time.monotonic()
            while self.status is None:
                self._wait()
            self._ended()
            if not self.spec["restart"] or self.stopping or self.verdict[0] == "DeadlineExceeded":
                break
            self.record["phase"] = "Starting"
            self._record_or_log()
            if not self._back_off(steady=time.monotonic() - began >= _STEADY_S):
                break
            self.record["restarts"] += 1
            self._spawn()
            self._record_or_log()
        self._remove_groups()
        self.record["phase"] = "Exited"
        self._record_or_log()

    def _back_off(self, *, steady: bool) -> bool:
        """Wait before the next start; False if told to stop."""
        doubled = max(_FIRST_BACKOFF_S, min(self.backoff_s * 2, _MAX_BACKOFF_S))
        self.backoff_s = _FIRST_BACKOFF_S if steady else doubled
        until = time.monotonic() + self.backoff_s
        while not self.stopping and (left := until - time.monotonic()) > 0:
            if select.select([self.wakeup], [], [], left)[0]:
                self._signals()
        return not self.stopping

    # The child

    def _spawn(self) -> None:
        """Fork and exec; a program that cannot be started is recorded as StartError."""
        self.status, self.verdict = None, ("", "")
        self._make_groups()
        _forget(self.run["termination"])
        self.output, writer = os.pipe2(os.O_CLOEXEC)
        failure, failed = os.pipe2(os.O_CLOEXEC)
        self.pid = os.fork()
        if not self.pid:
            self._exec(writer, failed)
        os.close(writer)
        os.close(failed)
        message = os.read(failure, MAX_MESSAGE).decode(errors="replace")  # ends with a successful exec
        os.close(failure)
        self.record |= {"phase": "Running", "pid": self.pid, "started_at": time.time()}
        self.record |= {"exited_at": None, "exit_code": None, "reason": "", "message": ""}
        if message:
            os.waitpid(self.pid, 0)
            self._close_output()
            self.pid = 0
            self.record |= {"phase": "Exited", "pid": None, "exited_at": time.time(), "exit_code": 127}
            self.record |= {"reason": "StartError", "message": message}

    def _exec(self, writer: int, failed: int) -> None:
        """In the child: become the program, or say why not."""
        argv = self.run["argv"]
        try:
            for number, handle in self.inputs.items():
                os.lseek(handle, 0, os.SEEK_SET)
                os.dup2(handle, number)
            self.libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != self.me:
                os._exit(127)  # the shim died before the kernel was asked
            os.setsid()  # a child that signals its process group must not hit the shim
            for number in range(1, signal.NSIG):
                if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):  # 32 and 33 belong to the C library
                    signal.signal(number, signal.SIG_DFL)  # exec keeps what is ignored here or was by our parent
            for group in self.groups.values():
                _write(f"{group['path']}/cgroup.procs", "0")
            if self.spec["cpu"] and "cpu" not in self.groups:
                _pin(self.spec["cpu"])
            if self.run["level"]:
                self._lower()
            os.dup2(writer, 1)
            os.dup2(writer, 2)
            os.chdir(self.spec["cwd"] or "/")
            os.execvpe(argv[0], argv, self.run["env"])  # noqa: S606 -- without a shell is how it shall be
        except OSError as error:
            os.write(failed, f"cannot start {argv[0]}: {error}".encode(errors="replace"))
        finally:
            os._exit(127)

    def _lower(self) -> None:
        """In the child: leave no core dumps, write files for this user alone, and end before the platform does."""
        _bound(self.libc, _RLIMIT_CORE, 0)
        if self.run["file_bytes"]:
            _bound(
                self.libc, _RLIMIT_FSIZE, self.run["file_bytes"]
            )  # fallocate(2) fills a disk between two looks at it
        if self.run["user"]:  # nobody else's tasks count
            tasks = self.run["processes"] * TASKS_PER_PROCESS
            _bound(self.libc, _RLIMIT_NPROC, tasks)
        os.umask(0o077)
        _write("/proc/self/oom_score_adj", str(_OOM_SCORE))

    def _wait(self) -> None:
        """Handle what comes next: output, a signal, or a limit."""
        now = time.monotonic()
        times = [moment for moment in (self.deadline, self.kill_at, self.look_at) if moment]
        timeout = max(0.0, min(times) - now) if times else None
        watched = [self.wakeup, self.output] if self.output >= 0 else [self.wakeup]
        ready = select.select(watched, [], [], timeout)[0]
        if self.output in ready:
            self._pump()
        if self.wakeup in ready:
            self._signals()
        if self.status is None:
            self._limit(time.monotonic())

    def _pump(self) -> None:
        """Move one chunk of output into the log."""
        chunk = os.read(self.output, min(_CHUNK, self.log.limit))
        if chunk:
            self.log.write(chunk)
        else:
            self._close_output()

    def _close_output(self) -> None:
        if self.output >= 0:
            os.close(self.output)
            self.output = -1

    def _signals(self) -> None:
        numbers = os.read(self.wakeup, 512)
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._stop()
        self._reap()

    def _stop(self) -> None:
        kill_at = time.monotonic() + self._grace()
        self.kill_at = min(self.kill_at, kill_at) if self.kill_at else kill_at
        self.stopping = True
        self._terminate()

    def _grace(self) -> float:
        try:
            with open(f"{self.directory}/{GRACE}", encoding="ascii") as file:
                return float(file.read())
        except (OSError, ValueError):
            return float(self.spec["grace_s"])  # whoever stops us said nothing else

    def _limit(self, now: float) -> None:
        """Kill the child if it is over one of its limits."""
        if self.kill_at and now >= self.kill_at:
            self._kill(signal.SIGKILL)
        elif self.deadline and now >= self.deadline:
            self.verdict = ("DeadlineExceeded", f"ran longer than {self.spec['timeout_s']:g} s")
            self._kill(signal.SIGKILL)
        elif self.look_at and now >= self.look_at:
            self._look(now)

    def _look(self, now: float) -> None:
        """Look at the memory, the disk space and the number of processes, and kill the child that exceeds a limit."""
        processes = _descendants(self.me)
        limit = self.spec["memory_bytes"]
        used = _memory(processes, limit) + self.unseen if limit and "memory" not in self.groups else 0
        threads = _threads(processes)
        shortest, longest = _LOOK_S
        self.look_at = now + (max(shortest, longest * (1 - used / limit)) if limit else _IDLE_LOOK_S)
        if exceeded := self._group_verdict():
            self.verdict = exceeded
            self._kill(signal.SIGKILL)
        elif limit and used > limit:
            self.verdict = ("OOMKilled", f"used {used >> 20} MiB of memory, the limit is {limit >> 20} MiB")
            self._kill(signal.SIGKILL)
        elif self.run["write"] and (
            len(processes) > self.run["processes"] or threads > TASKS_PER_PROCESS * self.run["processes"]
        ):
            what = f"ran {len(processes)} processes and {threads} threads"
            limits = f"{self.run['processes']} and {TASKS_PER_PROCESS * self.run['processes']}"
            self.verdict = ("TooManyProcesses", f"{what}, the limits are {limits}")
            self._kill(signal.SIGKILL)
        elif self.run["write"] and now >= self.look_at_disk:
            self._look_at_disk(now, processes)

    def _look_at_disk(self, now: float, processes: list[int]) -> None:
        limit = self.run["write_bytes"]
        used, files = _disk_use(self.run["write"])
        memory, unlinked = _unlinked(processes)
        used += unlinked
        self.unseen = max(0, memory - sum(_field(f"/proc/{pid}/status", b"RssShmem:") for pid in processes))
        self.look_at_disk = now + max(_IDLE_LOOK_S, 20 * (time.monotonic() - now))
        if used > limit or files > _MAX_FILES:
            what = f"wrote {used >> 20} MiB to disk in {files} files"
            self.verdict = ("DiskFull", f"{what}, the limits are {limit >> 20} MiB and {_MAX_FILES} files")
            self._kill(signal.SIGKILL)

    # The cgroups

    def _make_groups(self) -> None:
        """Make the child's groups; the shim itself watches a limit whose group cannot be made."""
        for controller, group in list(self.groups.items()):
            try:
                _make_group(group)
            except OSError as error:
                del self.groups[controller]
                self.log.write(f"no cgroup for {controller}: {error.strerror}\n".encode())
        self.events = self._group_events()

    def _group_events(self) -> tuple[int, int]:
        """How many processes the kernel killed for memory, and how many forks it refused."""
        memory, pids = self.groups.get("memory"), self.groups.get("pids")
        files = ("memory.events", "memory.oom_control")  # of version 2, of version 1
        killed = max(_counter(f"{memory['path']}/{file}", b"oom_kill") for file in files) if memory else 0
        return killed, _counter(f"{pids['path']}/pids.events", b"max") if pids else 0

    def _group_verdict(self) -> tuple[str, str] | None:
        """Which limit of a group the child has reached since it started."""
        killed, refused = (now - before for now, before in zip(self._group_events(), self.events, strict=True))
        if killed:
            limit = self.spec["memory_bytes"] >> 20
            return ("OOMKilled", f"used more memory than its limit of {limit} MiB")
        if refused:
            limit = self.groups["pids"]["files"]["pids.max"]
            return ("TooManyProcesses", f"started more processes and threads than its limit of {limit}")
        return None

    def _forbid_forks(self) -> None:
        """Let nothing in the group start processes, until the child starts again."""
        if pids := self.groups.get("pids"):
            try:
                _write(f"{pids['path']}/pids.max", "0")
            except OSError:
                pass  # somebody removed the group

    def _remove_groups(self) -> None:
        """Remove the child's groups; what fails is left to the next start or removal."""
        for path in self.record["groups"]:
            for _ in range(_GROUP_POLLS):
                try:
                    os.rmdir(path)
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(_GROUP_POLL_S)

    def _terminate(self) -> None:
        """Send SIGTERM to the payload alone: it ends its own processes, and needs them until then."""
        parent = self.pid
        for _ in range(self.run["depth"]):
            children = _children(parent)
            if not children:
                parent = self.pid  # the sandbox is not set up yet, or ends already: it ends at once
                break
            parent = children[0]
        if parent == self.pid:
            self._kill(signal.SIGTERM)
            return
        try:
            handle = os.pidfd_open(parent)
        except ProcessLookupError:
            return
        try:
            if parent in _descendants(self.me):  # the number has not become another process's in between
                signal.pidfd_send_signal(handle, signal.SIGTERM)
        except ProcessLookupError:
            pass  # it has just ended
        finally:
            os.close(handle)

    def _kill(self, number: int) -> None:
        if self.pid and self.status is None:
            os.kill(self.pid, number)  # it is not reaped yet: the number is still the child's

    def _reap(self) -> bool:
        """Take the exit status of whatever ended; False if nothing is left that could."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            if pid == self.pid:
                self.status = os.waitstatus_to_exitcode(status)

    # The end

    def _ended(self) -> None:
        """End the descendants, keep the rest of the output, and put the result into the record."""
        if not self.verdict[0]:
            self.verdict = self._group_verdict() or self.verdict
        self._sweep()
        while self.output >= 0 and select.select([self.output], [], [], 0)[0]:
            self._pump()
        self._close_output()
        self.kill_at = 0.0
        status = self.status or 0
        code = 128 - status if status < 0 else status
        reason, message = self.verdict
        if not reason:
            reason = "Completed" if not code else "Killed" if self.stopping else "Error"
            message = _head(self.run["termination"]) or self._last_words(status)
        self.record |= {"pid": None, "exited_at": time.time(), "exit_code": code}
        self.record |= {"reason": reason, "message": message}

    def _last_words(self, status: int) -> str:
        """How the child failed, and the end of its log."""
        if not status or self.stopping:
            return ""
        how = f"killed by {_signal_name(-status)}" if status < 0 else f"exit code {status}"
        lines = self.log.tail.decode(errors="replace").strip()
        return f"{how}\n{lines}" if lines else how

    def _sweep(self) -> None:
        """Kill and reap everything that descends from the shim.

        Only direct children are killed, round after round: what they leave becomes ours, and a process that is not
        reaped yet keeps its number.
        """
        self._forbid_forks()
        until = time.monotonic() + _SWEEP_S
        while self._reap() and time.monotonic() < until:
            for pid in _children(self.me):
                os.kill(pid, signal.SIGKILL)
            watched = [self.wakeup, self.output] if self.output >= 0 else [self.wakeup]
            ready = select.select(watched, [], [], _SWEEP_POLL_S)[0]
            if self.output in ready:
                self._pump()
            if self.wakeup in ready:
                self._signals()

    # The record

    def _write_record(self) -> None:
        """Replace the record, in the blocks that the one before reserved."""
        reserve = f"{self.directory}/state.reserve"
        content = json.dumps(self.record).encode()
        with open(os.open(reserve, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(content)
            file.truncate()
        os.rename(reserve, f"{self.directory}/{STATE}")
        _reserve(reserve, len(content) + 4 * MAX_MESSAGE)

    def _record_or_log(self) -> None:
        """Replace the record of a process that runs or ran: no failure to do so may take the shim from its child."""
        try:
            self._write_record()
        except OSError as error:
            self.log.write(f"the record cannot be written: {error.strerror}\n".encode())


class _Log:
    """The child's output: a current file and one older, each of at most `limit` bytes. A full disk loses lines."""

    def __init__(self, directory: str, limit: int) -> None:
        self.path, self.old, self.limit = f"{directory}/{LOG}", f"{directory}/{OLD_LOG}", limit
        self.tail = b""
        self.file = -1
        self.size = 0

    def write(self, chunk: bytes) -> None:
        self.tail = (self.tail + chunk)[-MAX_MESSAGE // 2 :]
        try:
            if self.file < 0:
                self._open()
            if self.size and self.size + len(chunk) > self.limit:
                os.rename(self.path, self.old)
                self._open()
            self.size += os.write(self.file, chunk)
        except OSError:
            return

    def _open(self) -> None:
        if self.file >= 0:
            os.close(self.file)
            self.file = -1
        self.file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.size = os.fstat(self.file).st_size


def start_ticks(pid: int) -> int | None:
    """Start time of a live process in clock ticks since boot (proc(5), stat, field 22); None if it has ended.

    A zombie has ended. A number may be used again, but not with the same start time.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])


def _children(pid: int) -> list[int]:
    """Children of all threads of a process (proc(5), task/TID/children)."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        pass  # it ended meanwhile
    return found


def _bound(libc: Any, number: int, value: int) -> None:
    """In the child: set both values of a resource limit (setrlimit(2)); the module for it costs memory here."""
    libc.setrlimit(number, (ctypes.c_ulong * 2)(value, value))


def _descendants(root: int) -> list[int]:
    pids = _children(root)
    for pid in pids:
        pids += _children(pid)
    return pids


def _threads(pids: list[int]) -> int:
    """Number of the processes' threads: each is a directory in /proc/PID/task."""
    count = 0
    for pid in pids:
        try:
            count += os.stat(f"/proc/{pid}/task").st_nlink - 2
        except (FileNotFoundError, ProcessLookupError):
            continue
    return count


def _memory(pids: list[int], limit: int) -> int:
    """Bytes of memory that processes hold.

    Resident sizes count a shared page once per process; a sum over `limit` is taken again in proportional sizes, which
    cost more to read.
    """
    resident = sum(_field(f"/proc/{pid}/status", b"VmRSS:") for pid in pids)
    return resident if resident <= limit else sum(_field(f"/proc/{pid}/smaps_rollup", b"Pss:") for pid in pids)


def _disk_use(directories: list[str]) -> tuple[int, int]:
    """Bytes on disk and number of the files below directories, up to about `_MAX_FILES`; links are not followed.

    A directory that cannot be read, for its path is too long or it is closed, counts as too many files.
    """
    used = files = 0
    waiting = list(directories)
    while waiting and files <= _MAX_FILES:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    files += 1
                    used += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue  # the payload removed it meanwhile
        except OSError:
            files += _MAX_FILES + 1
    return used, files


def _make_group(group: dict[str, Any]) -> None:
    """Make a cgroup and set its limits, the first of which the kernel must have."""
    try:
        os.mkdir(group["path"])
    except FileExistsError:
        pass  # of the child's last run
    for number, (name, value) in enumerate(group["files"].items()):
        try:
            _write(f"{group['path']}/{name}", value)
        except FileNotFoundError:
            if not number:
                raise


def _write(path: str, content: str) -> None:
    """Write a file of the kernel's."""
    handle = os.open(path, os.O_WRONLY)
    try:
        os.write(handle, content.encode())
    finally:
        os.close(handle)


def _pin(cpu: float) -> None:
    """In the child: use as many cores as hold `cpu`, not the same ones as every other process."""
    cores = sorted(os.sched_getaffinity(0))
    first = os.getpid() % len(cores)
    os.sched_setaffinity(0, (cores[first:] + cores[:first])[: -int(-cpu // 1)])


def _counter(path: str, name: bytes) -> int:
    """A counter in a file of a cgroup; 0 where there is none."""
    try:
        with open(path, "rb") as file:
            return next((int(line.split()[1]) for line in file if line.split()[0] == name), 0)
    except OSError:
        return 0


def _unlinked(pids: list[int]) -> tuple[int, int]:
    """Bytes of memory and of disk in files that processes hold and that no directory has.

    What a process has mapped and not open is known where the shim is root (proc(5), /proc/pid/map_files).
    """
    found: dict[tuple[int, int], tuple[bool, int]] = {}
    for path in (f"/proc/{pid}/{kind}" for pid in pids for kind in ("fd", "map_files")):
        try:
            names = os.listdir(path)
        except OSError:
            continue  # it ended, or is not ours to look at
        for name in names:
            try:
                target = os.readlink(f"{path}/{name}")
                if not target.endswith(" (deleted)"):
                    continue
                status = os.stat(f"{path}/{name}")
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode) and not status.st_nlink:
                size = status.st_blocks * 512
                found[status.st_dev, status.st_ino] = (target.startswith(_SHARED_MEMORY), size)
    memory = sum(size for shared, size in found.values() if shared)
    return memory, sum(size for shared, size in found.values() if not shared)


def _field(path: str, name: bytes) -> int:
    """A field in kB of a file in /proc, in bytes; 0 where the process has ended."""
    try:
        with open(path, "rb") as file:
            return next((int(line.split()[1]) << 10 for line in file if line.startswith(name)), 0)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _head(path: str) -> str:
    """The termination message, if the payload wrote one: a regular file, for it may name any other by a link."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return ""
        return file.read(MAX_MESSAGE).decode(errors="replace").strip()


def _forget(path: str) -> None:
    """Remove the termination message of an earlier run."""
    try:
        os.unlink(path)
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        pass  # a payload that makes a directory of it leaves no message


def _reserve(path: str, size: int) -> None:
    """Take the disk blocks of the next record; where that fails it is written if the disk allows it then."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(handle, 0, size)
        finally:
            os.close(handle)
    except OSError:
        pass


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _redirect(path: str, *handles: int) -> None:
    target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    for handle in handles:
        os.dup2(target, handle)
    os.close(target)


def open_input(content: bytes) -> int:
    """Return a descriptor from which `content` is read; its number is none that a child expects."""
    file = os.memfd_create("input", os.MFD_CLOEXEC)
    os.write(file, content)
    os.lseek(file, 0, os.SEEK_SET)
    handle = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, _INPUTS_FROM)
    os.close(file)
    return handle


def _release_code(libc: Any) -> None:
    """Unmap the program text that only starting needed: the kernel maps again what is used, from the page cache."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        for line in file.read().splitlines():
            fields = line.split()
            if fields[1] == "r-xp" and fields[-1].startswith("/"):
                start, end = (int(address, 16) for address in fields[0].split("-"))
                libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


def main(directory: str) -> None:
    """Read what to run, leave the caller, run it.

    Says `started`, `busy` (another shim has the directory) or `error ERRNO` on standard output, and closes it.
    """
    settings = json.load(sys.stdin.buffer)
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    _redirect(os.devnull, 0)
    try:
        lock = os.open(f"{directory}/lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shim = Shim(directory, settings["spec"], settings["run"])
        shim.start()
    except BlockingIOError:
        os.write(1, b"busy")
        return
    except OSError as error:
        os.write(1, b"error %d" % (error.errno or errno.EIO))
        return
    _release_code(shim.libc)
    os.write(1, b"started")
    _redirect(os.devnull, 1)
    _redirect(f"{directory}/{LOG}", 2)  # where a bug of the shim itself would show
    shim.supervise()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
