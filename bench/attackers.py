"""The attackers of ``bench.hostile``, in a process of their own: an honest client shares no lock with them.

Each is a function that runs until ``over`` is set, puts one thing into ``told`` once it is at work, and one
more in the end: how often it was answered with which status.
"""

from __future__ import annotations

import heapq
import multiprocessing
import os
import re
import selectors
import socket
import time
from base64 import b64encode
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, cycle
from multiprocessing.synchronize import Event
from typing import Any

from attrs import define, field

_FORK = multiprocessing.get_context("fork")  # nothing is imported again; no thread runs when it is asked for
_PATIENCE = 120.0
_EVERY = 10  # seconds between two bytes
_RETRY_AFTER = re.compile(rb"\r\nRetry-After: ([0-9]+)\r\n")


@define
class Seen:
    """What the attackers were answered, once they have ended."""

    statuses: Counter[str] = field(factory=Counter)


@contextmanager
def attacked_by(attack: Callable[..., None], *arguments: Any) -> Iterator[Seen]:
    """For as long as the block lasts; it begins once they are at work."""
    over, told, seen = _FORK.Event(), _FORK.Queue(), Seen()
    process = _FORK.Process(target=attack, args=(over, told, *arguments), daemon=True)
    process.start()
    try:
        told.get(timeout=_PATIENCE)
        yield seen
    finally:
        over.set()
        seen.statuses.update(told.get(timeout=_PATIENCE))
        process.join()


def connected(port: int, address: str = "127.0.0.1") -> socket.socket:
    """From that address of this machine."""
    return socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(address, 0))


def guess(over: Event, told: Any, port: int, rate: float, addresses: int) -> None:
    """So many logins a second, each on a connection of its own and none waiting for another's answer, from so
    many addresses in turn: the admin's, with wrong passwords, and those of users who are not there."""
    names = cycle(["admin", *(f"nobody{number}" for number in range(1000))])
    statuses: Counter[str] = Counter()
    places = cycle([f"127.0.{1 + number // 250}.{1 + number % 250}" for number in range(addresses)])
    with selectors.DefaultSelector() as waiting:
        told.put(None)
        start = time.perf_counter()
        for number in count():
            if over.is_set():
                break
            while (left := start + number / rate - time.perf_counter()) > 0:
                _answers(waiting, left, statuses)
            secret = b64encode(f"{next(names)}:wrong-{number}".encode()).decode()
            head = f"POST /login HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {secret}\r\n\r\n"
            try:
                client = connected(port, next(places))
            except OSError:
                statuses["not connected"] += 1
                continue
            client.sendall(head.encode())
            waiting.register(client, selectors.EVENT_READ)
        told.put(statuses)


def _answers(waiting: selectors.BaseSelector, seconds: float, statuses: Counter[str]) -> None:
    """Those that come meanwhile; each ends its connection."""
    if not waiting.get_map():
        time.sleep(seconds)
        return
    for key, _ in waiting.select(seconds):
        client = key.fileobj
        assert isinstance(client, socket.socket)
        try:
            statuses[_status(client.recv(65536))] += 1
        except OSError:
            statuses["reset"] += 1
        waiting.unregister(client)
        client.close()


def _status(answer: bytes) -> str:
    """An answer without Retry-After that should have one is seen as such."""
    status = answer[9:12].decode() if answer else "closed"
    later = status in ("429", "503", "507")
    return status + (" without Retry-After" if later and _RETRY_AFTER.search(answer) is None else "")


def offer(
    over: Event, told: Any, port: int, request: bytes, rate: float, clients: int, settling: float
) -> None:
    """So many requests each second, whatever becomes of the earlier ones; each is sent once.

    Each goes out on a connection whose last answer has come and that was not told to come later, or on a new
    one, of which there are so many at most; where none is to be had, the request is not sent. They are nice:
    on a machine with few processors the server is to be short of time because of what they ask for. What they
    are answered counts after ``settling`` seconds: a crowd is there then, and those sent away come again.
    """
    os.nice(10)
    with selectors.DefaultSelector() as waiting:
        crowd = _Crowd(port, request, clients, waiting)
        start, due, is_settled = time.perf_counter(), 0, False
        while not over.is_set():
            if not is_settled and time.perf_counter() - start > settling:
                is_settled = True
                crowd.statuses.clear()
                told.put(None)
            until = int((time.perf_counter() - start) * rate)
            while due < until and crowd.sends():
                due += 1
            crowd.statuses["not sent"] += until - due
            due = until
            crowd.listen(0.002)
    told.put(crowd.statuses)


@define
class _Crowd:
    """Connections, each with a request under way, idle, or waiting for the time that it was told."""

    port: int
    request: bytes
    most: int
    waiting: selectors.BaseSelector
    statuses: Counter[str] = field(factory=Counter)
    _open: int = 0
    _idle: deque[socket.socket] = field(factory=deque)
    _later: list[tuple[float, int, socket.socket]] = field(factory=list)  # a heap: not before this time

    def sends(self) -> bool:
        """One request more; false where there is no connection for it."""
        while self._later and self._later[0][0] <= time.perf_counter():
            self._idle.append(heapq.heappop(self._later)[2])
        while self._idle:
            client = self._idle.popleft()
            if client.fileno() >= 0:  # else the server has closed it meanwhile
                self._send(client)
                return True
        if self._open == self.most:
            return False
        client = socket.socket()
        client.setblocking(False)
        address = f"127.0.0.{2 + self._open // 5000}"  # the kernel has only so many ports for each
        client.bind((address, 0))
        client.connect_ex(("127.0.0.1", self.port))
        self._open += 1
        self.waiting.register(client, selectors.EVENT_WRITE)
        return True

    def listen(self, seconds: float) -> None:
        """What has been answered, and who has been connected."""
        for key, events in self.waiting.select(seconds):
            client = key.fileobj
            assert isinstance(client, socket.socket)
            if events & selectors.EVENT_WRITE:
                self.waiting.modify(client, selectors.EVENT_READ)
                self._send(client)
            else:
                self._hear(client)

    def _send(self, client: socket.socket) -> None:
        try:
            client.sendall(self.request)
            self.statuses["sent"] += 1
        except OSError:
            self._end(client, "not connected")

    def _hear(self, client: socket.socket) -> None:
        try:
            answer = client.recv(65536)
        except OSError:
            self._end(client, "reset")
            return
        if not answer:
            self._end(client, "closed")
            return
        self.statuses[_status(answer)] += 1
        later = _RETRY_AFTER.search(answer)
        if b"\r\nConnection: close\r\n" in answer:
            self._end(client, "asked to close")
        elif later:
            again = time.perf_counter() + int(later[1])
            heapq.heappush(self._later, (again, client.fileno(), client))
        else:
            self._idle.append(client)

    def _end(self, client: socket.socket, why: str) -> None:
        self.statuses[why] += 1
        self.waiting.unregister(client)
        client.close()
        self._open -= 1


def dribble(
    over: Event, told: Any, port: int, head: bytes, clients: int, piece: bytes = b"a", every: int = _EVERY
) -> None:
    """Clients always about to finish their request: a byte every ten seconds; who is dropped comes again."""
    statuses: Counter[str] = Counter()
    at_work: list[socket.socket] = []
    first, turn = True, 0
    while not over.is_set():
        while len(at_work) < clients and not over.is_set():
            try:
                client = connected(port)
                client.sendall(head)
            except OSError:
                statuses["not connected"] += 1
                break
            client.setblocking(False)
            at_work.append(client)
        if first:
            told.put(None)
            first = False
        until = time.perf_counter() + 1.0
        turn = (turn + 1) % every
        at_work = [
            client
            for place, client in enumerate(at_work)
            if place % every != turn or _dribbled(client, piece, statuses)
        ]
        over.wait(max(0.0, until - time.perf_counter()))
    for client in at_work:
        client.close()
    told.put(statuses)


def _dribbled(client: socket.socket, piece: bytes, statuses: Counter[str]) -> bool:
    """One piece more; false when it has been answered, or dropped."""
    try:
        client.send(piece)
        statuses[_status(client.recv(65536))] += 1
    except BlockingIOError:
        return True
    except OSError:
        statuses["reset"] += 1
    client.close()
    return False


def idle(over: Event, told: Any, port: int, clients: int) -> None:
    """Connections that say nothing; in the end it tells how many of them were kept."""
    # At most 25,000 from an address to a port: the kernel has no more ports to give it.
    waiting = [connected(port, f"127.0.0.{2 + number // 5000}") for number in range(clients)]
    told.put(None)
    over.wait()
    kept = sum(map(is_open, waiting))
    told.put(Counter({"kept": kept, "closed": clients - kept}))


def is_open(client: socket.socket) -> bool:
    """Has the server not closed it?"""
    client.setblocking(False)
    try:
        return bool(client.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return True
    except OSError:
        return False
