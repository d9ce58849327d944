"""seccomp: which system calls this process may still make, in all of its threads.

What is refused reaches other processes, names and attributes of files, or the machine's settings. Filters of
third parties and GPU drivers use too many calls for a list of those that are allowed. Calls that are newer
than :data:`_NEWEST` do not exist for this process, as on an older kernel.

Sources: ``Documentation/userspace-api/seccomp_filter.rst``, ``linux/seccomp.h`` and ``linux/filter.h``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from attrs import frozen

_SET_FILTER: Final = 1
_ALL_THREADS: Final = 1

_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32: Final = 0x40000000
"""The system calls of x86-64's other convention begin here."""

_CALLS: Final = {  # their numbers on x86_64 and aarch64; None where there is no such call
    # Programs and processes.
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    "clone": (56, 220),
    "memfd_create": (319, 279),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "prlimit64": (302, 261),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "sched_setaffinity": (203, 122),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "prctl": (157, 167),
    # Other users: a change of user also forgets that this process dies with its parent.
    "setuid": (105, 146),
    "setgid": (106, 144),
    "setreuid": (113, 145),
    "setregid": (114, 143),
    "setresuid": (117, 147),
    "setresgid": (119, 149),
    "setfsuid": (122, 151),
    "setfsgid": (123, 152),
    "setgroups": (116, 159),
    "capset": (126, 91),
    # Sockets, and other ways to talk to processes.
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # Files' attributes, which Landlock does not guard, and files by handle.
    "truncate": (76, 45),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open": (2, None),
    "openat": (257, 56),
    "ioctl": (16, 29),
    # The machine.
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "syslog": (103, 116),
    "iopl": (172, None),
    "ioperm": (173, None),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
_NAMES: Final = {  # what makes, removes and replaces files: refused where Landlock does not guard them
    "creat": (85, None),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "link": (86, None),
    "linkat": (265, 37),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "mknod": (133, None),
    "mknodat": (259, 33),
}
_NEWEST: Final = 424
"""From here on numbers are the same on all architectures. The first ones are of pidfd, io_uring, mounting,
clone3 and openat2, whose arguments no filter can look into."""
_HARMLESS: Final = (436, 439, 441, 444, 445, 446, 449, 453, 454, 455, 456, 462)
"""close_range, faccessat2, epoll_pwait2, Landlock's, futex_waitv, map_shadow_stack, futexes', mseal."""

_CLONE_THREAD: Final = 0x10000
_KINDS: Final = 0xF  # of sockets, without flags
_DEATH_SIGNAL, _DUMPABLE = 1, 4  # prctl
_TYPE_INTO_TERMINAL: Final = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_WORD: Final = 0xFFFFFFFF

# The machine that runs the filter, and places in its data.
_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOWED: Final = 0x7FFF0000
_REFUSED: Final = 0x00050000 | errno.EACCES
_UNKNOWN: Final = 0x00050000 | errno.ENOSYS


@frozen
class _Rule:
    """Of ``call`` are allowed, or refused, those whose argument has one of ``values`` under ``mask``."""

    call: str
    argument: int
    values: Sequence[int]
    mask: int = _WORD
    allow: bool = True


def apply(libc: ctypes.CDLL, families: Sequence[int], guard_names: bool) -> bool:
    """Refuse the calls for all threads and for good; returns False where the kernel or machine has no means.

    Sockets may still be opened of ``families``. With ``guard_names`` no file is opened for writing, made or
    removed. ``no_new_privs`` must be set.
    """
    architecture = _ARCHITECTURES.get(platform.machine())
    if architecture is None:
        return False
    code = _program(architecture, int(platform.machine() != "x86_64"), families, guard_names)
    program = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(program))
    seccomp = 317 if platform.machine() == "x86_64" else 277
    return bool(libc.syscall(seccomp, _SET_FILTER, _ALL_THREADS, header) == 0)


def _rules(families: Sequence[int], guard_names: bool) -> Iterator[_Rule]:
    itself = (os.getpid(),)
    yield _Rule("socket", 0, families)
    # A pair of datagram sockets could still send to any other by its name.
    yield _Rule("socketpair", 1, (socket.SOCK_STREAM, socket.SOCK_SEQPACKET), _KINDS)
    yield _Rule("clone", 0, (_CLONE_THREAD,), _CLONE_THREAD)
    yield _Rule("kill", 0, itself)
    yield _Rule("tgkill", 0, itself)
    for call in ("prlimit64", "sched_setparam", "sched_setscheduler", "sched_setattr", "sched_setaffinity"):
        yield _Rule(call, 0, (0, *itself))
    yield _Rule("prctl", 0, (_DEATH_SIGNAL, _DUMPABLE), allow=False)
    yield _Rule("ioctl", 1, _TYPE_INTO_TERMINAL, allow=False)
    for call, argument in (("open", 1), ("openat", 2)):
        if guard_names:
            yield _Rule(call, argument, (os.O_RDONLY,), os.O_ACCMODE | os.O_CREAT | os.O_TRUNC)
        else:  # emptying what is opened for reading: Landlock guards it in its third version only
            yield _Rule(call, argument, (os.O_TRUNC,), os.O_ACCMODE | os.O_TRUNC, allow=False)


_Line = tuple[int, str, str, int]


def _program(architecture: int, column: int, families: Sequence[int], guard_names: bool) -> bytes:
    """Return the filter's program; ``column`` is the architecture's in the tables."""
    calls = {**_CALLS, **_NAMES} if guard_names else _CALLS
    numbers = {name: found for name, pair in calls.items() if (found := pair[column]) is not None}
    rules = [rule for rule in _rules(families, guard_names) if rule.call in numbers]
    ruled = {rule.call for rule in rules}
    lines: list[_Line | str] = [
        (_LOAD, "", "", _ARCHITECTURE),
        (_EQUAL, "", "refuse", architecture),
        (_LOAD, "", "", _NUMBER),
        (_AT_LEAST, "refuse", "", _X32),
        (_AT_LEAST, "", "older", _NEWEST),
        *((_EQUAL, "allow", "", number) for number in _HARMLESS),
        (_RETURN, "", "", _UNKNOWN),
        "older",
        *((_EQUAL, "refuse", "", number) for name, number in numbers.items() if name not in ruled),
        *(line for rule in rules for line in _lines(rule, numbers[rule.call])),
        "allow",
        (_RETURN, "", "", _ALLOWED),
        "refuse",
        (_RETURN, "", "", _REFUSED),
    ]
    return _assembled(lines)


def _lines(rule: _Rule, number: int) -> Iterable[_Line | str]:
    """Return the lines of a rule. The low half of an argument is what counts, on little-endian machines."""
    hit, miss = ("allow", "refuse") if rule.allow else ("refuse", "allow")
    return (
        (_EQUAL, "", f"after {rule.call}", number),
        (_LOAD, "", "", _FIRST_ARGUMENT + 8 * rule.argument),
        (_AND, "", "", rule.mask),
        *((_EQUAL, hit, "", value) for value in rule.values),
        (_RETURN, "", "", _ALLOWED if miss == "allow" else _REFUSED),
        f"after {rule.call}",
    )


def _assembled(lines: Iterable[_Line | str]) -> bytes:
    """Return the lines as machine code. A text names a place; jumps are counted from the next line."""
    places: dict[str, int] = {}
    code: list[_Line] = []
    for line in lines:
        if isinstance(line, str):
            places[line] = len(code)
        else:
            code.append(line)

    def steps(target: str, here: int) -> int:
        return places[target] - here - 1 if target else 0

    return b"".join(
        struct.pack("=HBBI", operation, steps(true, here), steps(false, here), value)
        for here, (operation, true, false, value) in enumerate(code)
    )
