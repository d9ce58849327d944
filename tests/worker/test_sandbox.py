"""What a compute child may not do: tried by one that tries it, where the kernel has the means."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from twisted.trial.unittest import SkipTest, TestCase

from dpip.model import Outcome
from dpip.worker import sandbox
from tests.worker.test_compute_pool import PROGRAM, PoolCase

_TRIES = """
import ctypes, errno, json, os, resource, signal, socket, subprocess, sys, threading
from dpip.worker import landlock, sandbox

folder, situation = sys.argv[1:]
if situation == "no Landlock":  # as if the kernel had no Landlock
    landlock.apply = lambda libc, readable, devices: False
libc = ctypes.CDLL(None, use_errno=True)
a_file = os.path.join(folder, "a file")
program = os.memfd_create("program")
with open("/bin/true", "rb") as source:
    os.write(program, source.read())
readable = os.open(a_file, os.O_RDONLY)
parent, here = os.getppid(), os.getpid()
datagrams = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

def outcome(what):
    try:
        what()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"

def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "")

def connect():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(os.path.join(folder, "socket"))

def fork():
    if os.fork() == 0:
        os._exit(0)

go, elsewhere = threading.Event(), {}
def in_another_thread():
    go.wait()
    elsewhere["socket"] = outcome(socket.socket)
    elsewhere["read"] = outcome(lambda: open(a_file))
    elsewhere["write"] = outcome(lambda: open(os.path.join(folder, "by a thread"), "w"))
thread = threading.Thread(target=in_another_thread)
if situation == "threads before":
    thread.start()
confinement = sandbox.confine()
if situation != "threads before":
    thread.start()
x86 = os.uname().machine == "x86_64"
refused = {
    "tcp": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "udp": lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
    "packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "unix socket": connect,
    "datagrams by name": lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM),
    "raw pair, which is of datagrams": lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_RAW),
    "connecting an old socket": lambda: datagrams[0].connect(os.path.join(folder, "socket")),
    "program": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "program in memory": lambda: os.execve(program, ["true"], {}),
    "program in memory by its path": lambda: os.execv(f"/proc/self/fd/{program}", ["true"]),
    "memory as a file": lambda: os.memfd_create("x"),
    "fork": fork,
    "signal": lambda: os.kill(parent, 0),
    "signal to the group": lambda: os.kill(0, 0),
    "signal to all": lambda: os.kill(-1, 0),
    "another's limits": lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE, (64, 64)),
    "another's cores": lambda: os.sched_setaffinity(parent, {0}),
    "another's priority": lambda: os.setpriority(os.PRIO_PROCESS, parent, 19),
    "another's memory": lambda: call(310 if x86 else 270, parent, None, 0, None, 0, 0),
    "tracing": lambda: call(101 if x86 else 117, 16, parent, 0, 0),
    "shared memory": lambda: call(29 if x86 else 194, 0, 4096, 0o1600),
    "outliving the parent": lambda: call(157 if x86 else 167, 1, 0, 0, 0, 0),
    "write": lambda: open(a_file, "w"),
    "append": lambda: open(a_file, "a"),
    "write anew what is open": lambda: open(f"/proc/self/fd/{readable}", "r+b"),
    "new file": lambda: open(os.path.join(folder, "new"), "w"),
    "nameless file": lambda: os.open(folder, os.O_TMPFILE | os.O_RDWR),
    "temporary file": lambda: open("/tmp/by-a-confined-process", "w"),
    "unlink": lambda: os.unlink(a_file),
    "rename": lambda: os.rename(a_file, a_file + "2"),
    "link": lambda: os.link(a_file, a_file + "2"),
    "symlink": lambda: os.symlink(a_file, a_file + "2"),
    "mkdir": lambda: os.mkdir(os.path.join(folder, "folder")),
    "truncate": lambda: os.truncate(a_file, 0),
    "emptying by reading": lambda: os.open(a_file, os.O_RDONLY | os.O_TRUNC),
    "mode": lambda: os.chmod(a_file, 0o777),
    "mode of what is open": lambda: os.fchmod(readable, 0o777),
    "owner": lambda: os.chown(a_file, os.getuid(), os.getgid()),
    "times": lambda: os.utime(a_file),
    "attribute": lambda: os.setxattr(a_file, "user.x", b""),
    "kernel module": lambda: call(175 if x86 else 105, None, 0, None),
    "mount": lambda: call(165 if x86 else 40, None, None, None, 0, None),
    "user": lambda: os.setuid(os.getuid()),
}
unknown = {  # as on a kernel of before
    "io_uring": lambda: call(425, 1, None),
    "openat2": lambda: call(437, -100, a_file.encode(), bytes(24), 24),
    "clone3": lambda: call(435, bytes(88), 88),
    "a descriptor of a process": lambda: call(434, parent, 0),
    "a call of the future": lambda: call(9999),
}
unread = {
    "reading": lambda: open(a_file).read(),
    "reading anew what is open": lambda: open(f"/proc/self/fd/{readable}").read(),
    "listing": lambda: os.listdir(folder),
    "passwords": lambda: open("/etc/passwd").read(),
    "environment of the parent": lambda: open(f"/proc/{parent}/environ").read(),
    "command line of the parent": lambda: open(f"/proc/{parent}/cmdline").read(),
}
allowed = {
    "pair": socket.socketpair,
    "reading what is open": lambda: os.read(readable, 10),
    "a library": lambda: open(os.__file__).read(),
    "late import": lambda: __import__("wave"),
    "its own memory's size": lambda: open("/proc/self/statm").read(),
    "signal to itself": lambda: os.kill(here, 0),
    "its own limits": lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
}
if not situation:
    allowed["nowhere"] = lambda: open(os.devnull, "w").close()
tables = {"refused": refused, "unknown": unknown, "unread": unread, "allowed": allowed}
found = {name: {what: outcome(do) for what, do in table.items()} for name, table in tables.items()}
go.set()
thread.join()
print(json.dumps({"means": confinement.means, "missing": confinement.missing, **found, **elsewhere,
                  "dumpable": libc.prctl(3, 0, 0, 0, 0)}))
"""


NO_LANDLOCK, THREADS = "no Landlock", "threads before"


class ConfinementTests(TestCase):
    found: ClassVar[dict[str, dict[str, Any]]] = {}  # by situation: all is tried once in each

    def tries(self, means: str, situation: str = "") -> dict[str, Any]:
        if not sys.platform.startswith("linux"):
            raise SkipTest("only Linux has the means")
        if situation not in self.found:
            self.found[situation] = _tried(situation)
        if means not in self.found[situation]["means"]:
            raise SkipTest(f"this kernel has no {means}")
        return self.found[situation]

    def done(self, found: dict[str, Any]) -> list[str]:
        """What was done although it is forbidden."""
        return [what for what, how in found["refused"].items() if how not in ("EACCES", "EPERM")]

    def test_no_network_programs_or_processes_and_no_file_is_changed(self) -> None:
        found = self.tries("seccomp")
        self.assertEqual((self.done(found), found["dumpable"]), ([], 0))

    def test_without_landlock_seccomp_refuses_the_same(self) -> None:
        found = self.tries("seccomp", NO_LANDLOCK)
        self.assertEqual(self.done(found), [])
        self.assertIn("has no Landlock", found["missing"][0])

    def test_older_threads_have_no_network_and_write_nothing_either(self) -> None:
        found = self.tries("seccomp", THREADS)
        self.assertEqual((self.done(found), found["socket"], found["write"]), ([], "EACCES", "EACCES"))

    def test_where_landlock_does_not_reach_older_threads_that_is_told(self) -> None:
        found = self.tries("Landlock", THREADS)
        if found["read"] == "done":  # before Linux 7.0
            self.assertIn("threads that libraries have started", found["missing"][0])
        else:
            self.assertEqual((found["read"], found["missing"]), ("EACCES", []))

    def test_calls_whose_arguments_no_filter_can_see_do_not_exist(self) -> None:
        self.assertEqual(set(self.tries("seccomp")["unknown"].values()), {"ENOSYS"})

    def test_nothing_is_read_but_libraries_and_the_machine(self) -> None:
        found = self.tries("Landlock")
        self.assertEqual(set(found["unread"].values()), {"EACCES"})
        self.assertEqual((found["read"], found["missing"]), ("EACCES", []))

    def test_what_a_filter_needs_is_allowed(self) -> None:
        for situation in ("", NO_LANDLOCK, THREADS):
            allowed = self.tries("seccomp", situation)["allowed"]
            self.assertEqual(set(allowed.values()), {"done"}, allowed)

    def test_a_system_without_means_says_so(self) -> None:
        self.patch(sys, "platform", "darwin")
        confinement = sandbox.confine()
        self.assertEqual((confinement.means, confinement.missing), ((), (sandbox.NO_MEANS,)))


def _tried(situation: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        file = Path(folder) / "a file"
        file.write_bytes(b"a secret")
        listening.bind(os.path.join(folder, "socket"))
        listening.listen()
        command = [sys.executable, "-c", _TRIES, folder, situation]
        run = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        assert file.read_bytes() == b"a secret"
        assert sorted(os.listdir(folder)) == ["a file", "socket"]
    found: dict[str, Any] = json.loads(run.stdout)
    return found


class ChildTests(PoolCase):
    async def begin(self, means: str, *flags: str) -> None:
        self.pool._command = (*PROGRAM, *flags)
        ready = await self.pool.start()
        if not flags and means not in ready["confined"]["means"]:
            raise SkipTest(f"this kernel has no {means}")

    async def test_a_filter_reaches_nothing_but_its_job(self) -> None:
        await self.begin("seccomp")
        with socket.create_server(("127.0.0.1", 0)) as port:
            tries = [
                self.run_("phone", port=port.getsockname()[1]),
                self.run_("write", path=str(self.directory / "new")),
                self.run_("write", path=str(self.source)),
            ]
            for work in tries:
                verdict = await work.done
                self.assertEqual((verdict.outcome, verdict.code), (Outcome.FAILED, "filter-error"))
                self.assertIn("PermissionError", verdict.detail)
                self.assertIn("--unconfined-filters", verdict.detail)
        self.assertEqual(self.source.read_bytes(), b"picture")
        self.assertIs((await self.run_("copy").done).outcome, Outcome.DONE)

    async def test_a_filter_does_not_read_another_jobs_files(self) -> None:
        await self.begin("Landlock")
        other = self.directory / "of another user"
        other.write_bytes(b"picture")
        verdict = await self.run_("read", path=str(other)).done
        self.assertIn("PermissionError", verdict.detail)

    async def test_unless_it_is_to(self) -> None:
        await self.begin("", "--unconfined")
        with socket.create_server(("127.0.0.1", 0)) as port:
            verdict = await self.run_("phone", port=port.getsockname()[1]).done
        self.assertIs(verdict.outcome, Outcome.DONE)
        self.assertIs((await self.run_("write", path=str(self.directory / "new")).done).outcome, Outcome.DONE)

    async def test_a_child_gets_no_secrets_by_its_environment(self) -> None:
        secrets = dict.fromkeys(("DPIP_JOIN_TOKEN", "DPIP_API_TOKEN", "DPIP_ADMIN_PASSWORD"), "secret")
        self.patch(os, "environ", {**os.environ, **secrets, "DPIP_STATE_DIR": "/nowhere"})
        await self.pool.start()
        names = (await self.run_("environment").done).detail.split()
        self.assertIn("DPIP_STATE_DIR", names)
        self.assertFalse({*secrets} & {*names})
