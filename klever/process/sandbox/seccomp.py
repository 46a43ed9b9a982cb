"""The seccomp filters: classic BPF programs that reject system calls that no payload needs.

Source: seccomp(2), linux/filter.h, and the system call table of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl).
"""

from __future__ import annotations

import errno
import struct
from functools import cache
from typing import Final

from klever.process.sandbox import Network

__all__ = ["program"]

_LOAD, _JUMP_EQUAL, _JUMP_SET, _AND, _RETURN = 0x20, 0x15, 0x45, 0x54, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_ARCH_X86_64: Final = 0xC000003E
_X32_BIT: Final = 0x40000000
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16  # struct seccomp_data; the low half of an argument comes first

_NAMESPACES: Final = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
_SOCKET, _CONNECT, _SENDTO, _SENDMSG, _SOCKETPAIR, _CLONE, _SENDMMSG, _CLONE3 = 41, 42, 44, 46, 53, 56, 307, 435
_PRLIMIT64, _MEMFD_CREATE = 302, 319
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_SOCK_STREAM, _SOCK_DGRAM, _SOCK_TYPE_MASK = 1, 2, 0xF
_PROTOCOLS = 0, 6, 17
"""The default, TCP and UDP (IPPROTO_*). Landlock does not limit the ports of others, such as multipath TCP."""
_MSG_FASTOPEN: Final = 0x20000000
"""Makes a TCP connection without connect(2)."""

_REFUSED: Final = {
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442, "open_tree_attr": 467,
    "unshare": 272, "setns": 308,
    "add_key": 248, "request_key": 249, "keyctl": 250,
    "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "lookup_dcookie": 212,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "init_module": 175, "delete_module": 176, "finit_module": 313, "kexec_load": 246, "kexec_file_load": 320,
    "name_to_handle_at": 303, "open_by_handle_at": 304,
    "quotactl": 179, "quotactl_fd": 443, "swapon": 167, "swapoff": 168, "reboot": 169, "acct": 163, "syslog": 103,
    "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173, "modify_ldt": 154, "vhangup": 153,
    "settimeofday": 164, "clock_settime": 227, "clock_adjtime": 305, "adjtimex": 159,
    "fanotify_init": 300, "fanotify_mark": 301, "mknod": 133, "mknodat": 259, "personality": 135,
    "shmget": 29, "shmat": 30, "shmctl": 31, "shmdt": 67, "semget": 64, "semop": 65, "semctl": 66, "semtimedop": 220,
    "msgget": 68, "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "mq_open": 240, "mq_unlink": 241,
}  # fmt: skip
"""Refused with EPERM, whatever their arguments."""
_ATTRIBUTES: Final = {
    "chmod": 90, "fchmod": 91, "fchmodat": 268, "fchmodat2": 452, "chown": 92, "fchown": 93, "lchown": 94,
    "fchownat": 260, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "setxattrat": 463, "removexattr": 197,
    "lremovexattr": 198, "fremovexattr": 199, "removexattrat": 466, "utime": 132, "utimes": 235, "utimensat": 280,
    "futimesat": 261,
}  # fmt: skip
"""Calls that change the attributes of files that the user owns, which Landlock does not protect."""


@cache
def program(network: Network, *, attributes: bool, ipv6: bool) -> bytes:
    """Return the filter in the kernel's form, an array of struct sock_filter.

    `attributes` allows the calls that change attributes of files. Without `ipv6`, a process that may listen has only
    IPv4: no other rule keeps it from the platform's port on ::1.
    """
    code = [
        *_load(_ARCH_AT),
        *_if_equal(_ARCH_X86_64, [], [_return(_KILL)]),
        *_load(_NUMBER_AT),
        *_if_set(_X32_BIT, [_return(_ERRNO | errno.ENOSYS)]),
    ]
    refused = _REFUSED if attributes else _REFUSED | _ATTRIBUTES
    for number in sorted(refused.values()):
        code += _if_equal(number, [_return(_ERRNO | errno.EPERM)], [])
    # No process would be charged for its memory. Libraries that use it can do without it.
    code += _if_equal(_MEMFD_CREATE, [_return(_ERRNO | errno.ENOSYS)], [])
    # A process may set only its own limits: a low limit of CPU time would end another process of the same user.
    code += _if_equal(_PRLIMIT64, [*_load_argument(0), *_if_equal(0, [], [_refusal()]), _return(_ALLOW)], [])
    # glibc then uses clone, whose flags a filter can read.
    code += _if_equal(_CLONE3, [_return(_ERRNO | errno.ENOSYS)], [])
    code += _if_equal(_CLONE, [*_load_argument(0), *_if_set(_NAMESPACES, [_refusal()]), _return(_ALLOW)], [])
    code += _if_equal(_SOCKETPAIR, _socket_rules({_AF_UNIX: (_SOCK_STREAM,)}), [])
    code += _if_equal(_SOCKET, _socket_rules(_families(network, ipv6=ipv6)), [])
    if network in (Network.NONE, Network.LISTEN):
        code += _if_equal(_CONNECT, [_refusal()], [])
        for number, flags in ((_SENDTO, 3), (_SENDMSG, 2), (_SENDMMSG, 3)):
            rules = [*_load_argument(flags), *_if_set(_MSG_FASTOPEN, [_refusal()]), _return(_ALLOW)]
            code += _if_equal(number, rules, [])
    return b"".join([*code, _return(_ALLOW)])


def _families(network: Network, *, ipv6: bool) -> dict[int, tuple[int, ...]]:
    """Return the socket types that a process may create, by address family."""
    if network in (Network.NONE, Network.LOCAL):
        return {_AF_UNIX: (_SOCK_STREAM,)}
    if network is Network.LISTEN:
        return dict.fromkeys((_AF_UNIX, _AF_INET, *((_AF_INET6,) if ipv6 else ())), (_SOCK_STREAM,))
    return dict.fromkeys((_AF_UNIX, _AF_INET, _AF_INET6), (_SOCK_STREAM, _SOCK_DGRAM))


def _socket_rules(families: dict[int, tuple[int, ...]]) -> list[bytes]:
    code = _load_argument(0)
    for family, types in families.items():
        allowed = [*_load_argument(1), _instruction(_AND, 0, 0, _SOCK_TYPE_MASK)]
        for type_ in types:
            allowed += _if_equal(type_, _protocol_rules() if family != _AF_UNIX else [_return(_ALLOW)], [])
        code += _if_equal(family, [*allowed, _refusal()], [])
    return [*code, _refusal()]


def _protocol_rules() -> list[bytes]:
    code = _load_argument(2)
    for protocol in _PROTOCOLS:
        code += _if_equal(protocol, [_return(_ALLOW)], [])
    return [*code, _refusal()]


def _refusal() -> bytes:
    return _return(_ERRNO | errno.EPERM)


def _return(action: int) -> bytes:
    return _instruction(_RETURN, 0, 0, action)


def _load(offset: int) -> list[bytes]:
    return [_instruction(_LOAD, 0, 0, offset)]


def _load_argument(index: int) -> list[bytes]:
    """Load the low 32 bits of an argument: the kernel ignores the high ones of the int arguments compared here."""
    return _load(_ARGUMENTS_AT + 8 * index)


def _if_equal(value: int, then: list[bytes], otherwise: list[bytes]) -> list[bytes]:
    """Run `then` if the loaded value is `value`, else `otherwise`. One of them must be empty or end in a return."""
    if then:
        return [_instruction(_JUMP_EQUAL, 0, len(then), value), *then, *otherwise]
    return [_instruction(_JUMP_EQUAL, len(otherwise), 0, value), *otherwise]


def _if_set(bits: int, then: list[bytes]) -> list[bytes]:
    """Run `then` if the loaded value has any of `bits`."""
    return [_instruction(_JUMP_SET, 0, len(then), bits), *then]


def _instruction(code: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
