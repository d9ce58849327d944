"""A compute child whose filters do what no filter should; run with ``python -m``, as the real one is."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from dpip.errors import CorruptPicture
from dpip.worker import child_main


@frozen
class Copied:
    data: bytes
    content_type: str = "image/test"
    notices: tuple[str, ...] = ()


class Misbehaving:
    """The first step's name says what happens."""

    def warm_up(self) -> Mapping[str, Any]:
        marker = os.environ.get("DPIP_TEST_FIRST_CHILD_DIES")
        if marker and not Path(marker).exists():
            Path(marker).touch()
            raise ImportError("the warm-up went wrong")
        loading = os.environ.get("DPIP_TEST_CACHED")
        if loading:
            child_main.send({"cached": True})
            while Path(loading).exists():
                time.sleep(0.01)
        child_main.send({"say": f"warm {os.getpid()}"})
        return {"filters": {"copy": "1"}, "fingerprint": "test"}

    def memory(self, data: bytes, job: Mapping[str, Any]) -> int:
        reckoned: int = job["steps"][0][1].get("reckoned", 0)
        return reckoned

    def process(self, data: bytes, job: Mapping[str, Any]) -> Copied:
        name, params = job["steps"][0]
        getattr(self, name)(params)
        return Copied(data.upper())

    def copy(self, params: Any) -> None:
        """Nothing but the copying."""

    def leave(self, params: Any) -> None:
        os._exit(3)

    def segfault(self, params: Any) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    def hold_the_gil(self, params: Any) -> None:
        ctypes.PyDLL(None).pause()

    def eat(self, params: Any) -> None:
        eaten = [bytearray(16 * 2**20) for _ in range(1000)]
        raise AssertionError(f"{len(eaten)} pieces eaten")

    def take(self, params: Any) -> None:
        bytearray(params["bytes"])

    def corrupt(self, params: Any) -> None:
        raise CorruptPicture("It ends in the middle.")

    def fail(self, params: Any) -> None:
        raise ZeroDivisionError("by a filter")

    def phone(self, params: Any) -> None:
        socket.create_connection(("127.0.0.1", params["port"]))

    def read(self, params: Any) -> None:
        Path(params["path"]).read_bytes()

    def write(self, params: Any) -> None:
        Path(params["path"]).write_bytes(b"by a filter")

    def environment(self, params: Any) -> None:
        raise ValueError(" ".join(os.environ))

    def chatter(self, params: Any) -> None:
        print("hello from a filter", flush=True)

    def lie(self, params: Any) -> None:
        os.write(child_main.REPLIES, b'{"job": 1, "outcome": "done"}\n')

    def slow(self, params: Any) -> None:
        """Until the test removes the file that is named."""
        while Path(params["while"]).exists():
            pass


if __name__ == "__main__":
    child_main.main(Misbehaving())
