"""DPIP for programs that know nothing of Twisted: the same client, whose calls return when they are done.

A program in whole::

    from dpip.client.blocking import Dpip

    with Dpip("http://127.0.0.1:8080") as dpip:
        dpip.login("admin", "the password")
        workload = dpip.create_workload(filter="blur", params={"sigma": 8})
        dpip.upload_many(workload.workload_id, ["cat.jpg", "dog.jpg"])
        dpip.wait(workload.workload_id)
        for image in dpip.images(workload.workload_id):
            dpip.download(image.image_id, to=f"blurred-{image.name}")

It fails with what :mod:`dpip.client` fails with.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Self, TypeVar, overload

from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread
from twisted.python.threadable import isInIOThread

from dpip.client.answers import Image, Session, Token, User, Workload
from dpip.client.client import Client

T = TypeVar("T")
_starting = Lock()


class Dpip:
    """One user of one DPIP server, from any thread but the reactor's; a context manager that closes it.

    Every method is that of :class:`dpip.client.Client` with the same name. ``progress`` functions are called
    in the reactor's thread and must be quick.
    """

    def __init__(self, url: str, token: str = "", **options: Any) -> None:
        """Options are the client's. Raises ValueError when ``url`` is not the address of a server."""
        self._reactor = _running_reactor()
        self._client = self._done(lambda: _at_once(Client(self._reactor, url, token, **options)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._wait(self._client.close)

    @property
    def token(self) -> str:
        return self._client.token

    def login(self, user: str, password: str) -> Session:
        return self._done(lambda: self._client.login(user, password))

    def logout(self) -> None:
        self._done(self._client.logout)

    def status(self) -> Mapping[str, Any]:
        return self._done(self._client.status)

    def filters(self) -> Sequence[Mapping[str, Any]]:
        return self._done(self._client.filters)

    def workers(self) -> Sequence[Mapping[str, Any]]:
        return self._done(self._client.workers)

    def drain_worker(self, name: str) -> None:
        self._done(lambda: self._client.drain_worker(name))

    def revoke_worker(self, name: str) -> None:
        self._done(lambda: self._client.revoke_worker(name))

    def join_token(self) -> Mapping[str, Any]:
        return self._done(self._client.join_token)

    def rotate_join_token(self, seconds: int | None = None, grace: int = 0) -> Mapping[str, Any]:
        return self._done(lambda: self._client.rotate_join_token(seconds, grace))

    def create_workload(self, filter: str | None = None, name: str | None = None, **more: Any) -> Workload:
        return self._done(lambda: self._client.create_workload(filter, name, **more))

    def workload(self, workload_id: str) -> Workload:
        return self._done(lambda: self._client.workload(workload_id))

    def workloads(
        self, most: int | None = None, status: str | None = None, name: str | None = None
    ) -> list[Workload]:
        return self._done(lambda: self._client.workloads(most, status, name))

    def wait(
        self, workload_id: str, progress: Callable[[Workload], object] | None = None, every: float = 0.5
    ) -> Workload:
        return self._done(lambda: self._client.wait(workload_id, progress, every))

    def cancel(self, workload_id: str) -> Workload:
        return self._done(lambda: self._client.cancel(workload_id))

    def retry(self, workload_id: str, images: Iterable[str] | None = None) -> Workload:
        return self._done(lambda: self._client.retry(workload_id, images))

    def seal(self, workload_id: str, webhook: tuple[str, str] | None = None) -> Workload:
        return self._done(lambda: self._client.seal(workload_id, webhook))

    def webhook(self, workload_id: str) -> Mapping[str, Any]:
        return self._done(lambda: self._client.webhook(workload_id))

    def delete_workload(self, workload_id: str) -> None:
        self._done(lambda: self._client.delete_workload(workload_id))

    def upload(
        self, workload_id: str, file: Path | str | bytes, name: str | None = None, key: str | None = None
    ) -> Image:
        return self._done(lambda: self._client.upload(workload_id, file, name, key))

    def upload_many(
        self,
        workload_id: str,
        files: Iterable[Path | str | tuple[str, bytes]],
        progress: Callable[[Image], object] | None = None,
    ) -> list[Image]:
        return self._done(lambda: self._client.upload_many(workload_id, files, progress))

    @overload
    def download(self, image_id: str, to: None = None) -> bytes: ...

    @overload
    def download(self, image_id: str, to: Path | str) -> None: ...

    def download(self, image_id: str, to: Path | str | None = None) -> bytes | None:
        return self._done(lambda: self._client.download(image_id, to))

    def download_many(self, images: Iterable[tuple[str, Path | str]]) -> None:
        self._done(lambda: self._client.download_many(images))

    def images(self, workload_id: str, type: str = "filtered") -> list[Image]:
        return self._done(lambda: self._client.images(workload_id, type))

    def users(self) -> list[User]:
        return self._done(self._client.users)

    def tokens(self, user: str | None = None) -> list[Token]:
        return self._done(lambda: self._client.tokens(user))

    def add_token(self, name: str, days: int | None = None, user: str | None = None) -> Token:
        return self._done(lambda: self._client.add_token(name, days, user))

    def revoke_token(self, token_id: str) -> None:
        self._done(lambda: self._client.revoke_token(token_id))

    def _done(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return self._wait(lambda: Deferred.fromCoroutine(call()))

    def _wait(self, call: Callable[[], Deferred[T]]) -> T:
        if isInIOThread():
            raise RuntimeError(
                "This thread runs the reactor, which must not wait: use dpip.client.Client here."
            )
        result: T = blockingCallFromThread(self._reactor, call)  # type: ignore[arg-type]
        return result


async def _at_once(value: T) -> T:
    return value


def _running_reactor() -> Any:
    """The process's reactor; unless it runs, it is started in a thread that dies with the process."""
    from twisted.internet import reactor

    with _starting:
        if not reactor.running:
            running = Event()
            reactor.callWhenRunning(running.set)
            Thread(
                target=reactor.run,
                kwargs={"installSignalHandlers": False},
                name="dpip",
                daemon=True,
            ).start()
            running.wait()
    return reactor
