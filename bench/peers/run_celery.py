"""Celery with Redis and two processes. ``python run_celery.py DIRECTORY``."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path

from driver import serve

_CONNECTIONS = 4


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(directory: Path) -> None:
    out = directory / "out"
    redis_port = free_port()
    redis = ["redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--save", ""]
    worker = [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "-c", "2", "-l", "ERROR"]
    worker += ["--without-gossip", "--without-mingle", "--without-heartbeat", "-O", "fair"]
    store = subprocess.Popen([sys.executable, "store.py", str(out)], stdout=subprocess.PIPE, text=True)
    assert store.stdout is not None
    os.environ |= {"PEER_REDIS": str(redis_port), "PEER_STORE": store.stdout.readline().strip()}
    quiet = subprocess.DEVNULL
    others: list[subprocess.Popen[bytes]] = [
        subprocess.Popen(redis, stdout=quiet),
        subprocess.Popen(worker, stdout=quiet, stderr=quiet),
    ]
    try:
        while socket.socket().connect_ex(("127.0.0.1", redis_port)):
            time.sleep(0.05)
        from celery_app import by_file, by_http

        def files(frames: Sequence[str], filter: str) -> None:
            sent = [
                by_file.delay(frame, str(out / str(number)), filter) for number, frame in enumerate(frames)
            ]
            for result in sent:
                result.get(timeout=300)

        def http(frames: Sequence[str], filter: str) -> None:
            waiting = iter(enumerate([Path(frame).read_bytes() for frame in frames]))
            sent = []

            def lane() -> None:
                connection = HTTPConnection("127.0.0.1", int(os.environ["PEER_STORE"]))
                for number, data in waiting:
                    connection.request("PUT", f"/{number}.in", data)
                    connection.getresponse().read()
                    sent.append(by_http.delay(f"{number}.in", filter))

            lanes = [threading.Thread(target=lane) for _ in range(_CONNECTIONS)]
            for each in lanes:
                each.start()
            for each in lanes:
                each.join()
            for result in sent:
                result.get(timeout=300)

        serve(directory, {"files": files, "HTTP": http})
    finally:
        for process in others[::-1]:
            process.terminate()
            process.wait()
        store.terminate()
        store.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
