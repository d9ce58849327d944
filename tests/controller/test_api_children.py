"""API processes that the controller keeps alive: real processes, of a few lines, on one listening socket."""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase

from dpip.controller import api_children as children_module
from dpip.controller.api_children import SOCKET, ApiChildren

SERVE = f"""
import os, select, socket, sys
listening = socket.socket(fileno={SOCKET})
while True:
    ready, _, _ = select.select([listening, 0], [], [])
    if 0 in ready:
        sys.exit()
    try:
        connection, _ = listening.accept()
    except BlockingIOError:
        continue
    connection.sendall(f"{{sys.argv[1]}} {{os.getpid()}}".encode())
    connection.close()
"""


class ApiChildrenTests(TestCase):
    timeout = 30

    def setUp(self) -> None:
        self.patch(children_module, "_FIRST_PAUSE", 0.01)
        self.listening = socket.socket()
        self.listening.bind(("127.0.0.1", 0))
        self.listening.listen()
        self.listening.setblocking(False)
        self.addCleanup(self.listening.close)

    def children(self, count: int = 2, program: str = SERVE) -> ApiChildren:
        command = [sys.executable, "-c", program]
        children = ApiChildren(reactor, count, self.listening.fileno(), lambda number: [str(number)], command)
        children.startService()
        self.addCleanup(children.stopService)
        return children

    async def ask(self) -> tuple[int, int]:
        """Number and process id of the child that answers."""

        def connect() -> bytes:
            with socket.create_connection(self.listening.getsockname(), 30) as connection:
                return connection.recv(100)

        number, pid = (await deferToThread(connect)).split()
        return int(number), int(pid)

    async def seen(self, count: int) -> dict[int, int]:
        found: dict[int, int] = {}
        while len(found) < count:
            number, pid = await self.ask()
            found[number] = pid
        return found

    async def test_connections_go_to_whoever_is_there(self) -> None:
        self.children(1)
        self.assertEqual((await self.ask())[0], 0)

    async def test_a_child_that_dies_is_replaced_and_no_connection_is_lost_meanwhile(self) -> None:
        self.children(1)
        _, first = await self.ask()
        os.kill(first, signal.SIGKILL)
        number, second = await self.ask()
        self.assertEqual(number, 0)
        self.assertNotEqual(first, second)

    async def test_one_that_dies_at_once_is_started_less_and_less_often(self) -> None:
        pauses: list[float] = []

        def observe(event: Any) -> None:
            pauses.extend([event["pause"]] if "pause" in event else [])

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.children(1, "raise SystemExit(3)")
        while len(pauses) < 4:
            await deferLater(reactor, 0.01)
        self.assertEqual(pauses[:4], [0.02, 0.04, 0.08, 0.16])

    async def test_they_end_with_the_service(self) -> None:
        children = self.children(2)
        found = await self.seen(1)
        await children.stopService()
        for pid in found.values():
            self.assertRaises(ProcessLookupError, os.kill, pid, 0)

    async def test_one_that_will_not_end_is_killed(self) -> None:
        self.patch(children_module, "_END_SECONDS", 0.1)
        stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVE.replace(
            "sys.exit()", "continue"
        )
        children = self.children(1, stubborn)
        _, pid = await self.ask()
        await children.stopService()
        self.assertRaises(ProcessLookupError, os.kill, pid, 0)
