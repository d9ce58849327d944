"""The contenders: how each is started, asked for one turn, and ended. Nothing is installed here."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import IO, Protocol

from attrs import frozen

from tests.system.processes import free_port, wait_until

HERE = Path(__file__).parent
CONNECTIONS = 4
_PATIENCE = 180.0


class Asked(Protocol):
    """A contender that runs: seconds for ``count`` frames."""

    def __call__(self, way: str, format: str, filter: str, count: int) -> float: ...


@frozen
class Where:
    """Where the peers are installed."""

    python: str
    thumbor: str
    node_modules: Path


@contextmanager
def _process(command: Sequence[str], **environment: str) -> Iterator[subprocess.Popen[str]]:
    """In a session of its own, which ends as a whole: some peers leave children behind."""
    process = subprocess.Popen(
        command,
        cwd=HERE,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.terminate()
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.poll()
        process.wait()


def _line(file: IO[str]) -> str:
    """The next one, in time."""
    with selectors.DefaultSelector() as selector:
        selector.register(file, selectors.EVENT_READ)
        if not selector.select(_PATIENCE):
            raise TimeoutError("the contender does not answer")
    line = file.readline()
    if not line:
        raise ChildProcessError("the contender has ended")
    return line


@contextmanager
def queue(where: Where, script: str, directory: Path) -> Iterator[Asked]:
    """A task queue, driven by one of the ``run_….py`` here."""
    with _process([where.python, script, str(directory)], PYTHONPATH=str(HERE)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while _line(process.stdout).strip() != "ready":
            pass
        stdin, stdout = process.stdin, process.stdout

        def asked(way: str, format: str, filter: str, count: int) -> float:
            print(way, format, filter, count, file=stdin, flush=True)
            return float(_line(stdout))

        yield asked


@contextmanager
def thumbor(where: Where, directory: Path) -> Iterator[Asked]:
    port = free_port()
    config = directory / "thumbor.conf"
    config.write_text((HERE / "thumbor.conf").read_text() + f"FILE_LOADER_ROOT_PATH = {str(directory)!r}\n")
    command = [where.thumbor, "-p", str(port), "-i", "127.0.0.1", "-c", str(config)]
    with _process([*command, "--processes", "2", "-l", "error"]):
        wait_until(lambda: _answers(port, "/healthcheck"), "thumbor")

        def asked(way: str, format: str, filter: str, count: int) -> float:
            words = "grayscale()" if filter == "grayscale" else "blur(15,5)"
            urls = [f"/unsafe/filters:{words}/{format}/{path.name}" for path in _frames(directory, format)]
            _exchanged(port, [("GET", url, None) for url in urls[:8]])
            return _exchanged(port, [("GET", urls[number % len(urls)], None) for number in range(count)])

        yield asked


@contextmanager
def sharp(where: Where, directory: Path) -> Iterator[Asked]:
    command = ["node", "sharp_server.js", "2"]
    with _process(command, NODE_PATH=str(where.node_modules)) as process:
        assert process.stdout is not None
        port = int(_line(process.stdout))

        def asked(way: str, format: str, filter: str, count: int) -> float:
            frames = [path.read_bytes() for path in _frames(directory, format)]
            url = f"/?filter={filter}&format={format}"
            _exchanged(port, [("POST", url, frame) for frame in frames[:8]])
            return _exchanged(port, [("POST", url, frames[number % len(frames)]) for number in range(count)])

        yield asked


def _frames(directory: Path, format: str) -> list[Path]:
    return sorted((directory / format).iterdir())


def _answers(port: int, path: str) -> bool:
    try:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False


def _exchanged(port: int, requests: Sequence[tuple[str, str, bytes | None]]) -> float:
    """Seconds until all have been answered, over a few connections."""
    waiting, wrong = iter(requests), []

    def lane() -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
        for method, url, body in waiting:
            connection.request(method, url, body)
            response = connection.getresponse()
            answer = response.read()
            if response.status != 200 or not answer:
                wrong.append((response.status, answer[:200]))

    lanes = [threading.Thread(target=lane) for _ in range(CONNECTIONS)]
    start = time.perf_counter()
    for each in lanes:
        each.start()
    for each in lanes:
        each.join()
    if wrong:
        raise ValueError(f"not filtered: {wrong[0]}")
    return time.perf_counter() - start


def _has(where: Where, modules: str) -> bool:
    try:
        asked = subprocess.run([where.python, "-c", f"import {modules}, PIL"], capture_output=True)
    except OSError:
        return False
    return asked.returncode == 0


NEEDS: dict[str, tuple[str, Callable[[Where], object]]] = {
    "celery": (
        "redis-server (apt-get install redis-server) and, in --python, pip install 'celery[redis]' pillow",
        lambda where: _has(where, "celery, redis") and shutil.which("redis-server"),
    ),
    "dask": (
        "in --python, pip install 'dask[distributed]' pillow",
        lambda where: _has(where, "distributed"),
    ),
    "ray": ("in --python, pip install ray pillow", lambda where: _has(where, "ray")),
    "thumbor": (
        "--thumbor, the program that pip install thumbor makes (best in a venv of its own)",
        lambda where: shutil.which(where.thumbor),
    ),
    "sharp": (
        "node, and --node-modules, where npm install sharp has put it",
        lambda where: shutil.which("node") and (where.node_modules / "sharp").is_dir(),
    ),
}
"""What each peer needs, and whether that is there."""


def missing(where: Where, wanted: Sequence[str]) -> dict[str, str]:
    """Of each of the ``wanted`` contenders that cannot take part: what it needs."""
    return {name: NEEDS[name][0] for name in wanted if name in NEEDS and not NEEDS[name][1](where)}
