"""DPIP for programs that do not use Twisted: the same client, whose calls return when they are done.

A program in whole::

    from dpip.client.blocking import Dpip

    with Dpip("http://127.0.0.1:8080") as dpip:
        dpip.login("admin", "the password")
        workload = dpip.create_workload(filter="blur", params={"sigma": 8})
        dpip.upload_many(workload.workload_id, ["cat.jpg", "dog.jpg"])
        dpip.wait(workload.workload_id)
        for image in dpip.images(workload.workload_id):
            dpip.download(image.image_id, to=f"blurred-{image.name}")

It raises what :mod:`dpip.client` raises.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from threading import Event, Lock, Thread
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread
from twisted.python.threadable import isInIOThread

from dpip.client.client import Client

P = ParamSpec("P")
T = TypeVar("T")
_starting = Lock()


def _blocking(
    method: Callable[Concatenate[Client, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Dpip, P], T]:
    """Make a method of Dpip that calls the client's method and waits for its answer."""

    @wraps(method)
    def call(dpip: Dpip, /, *arguments: P.args, **options: P.kwargs) -> T:
        result: T = dpip._wait(lambda: Deferred.fromCoroutine(method(dpip._client, *arguments, **options)))
        return result

    return call


class Dpip:
    """One user of one DPIP server, from any thread but the reactor's; a context manager that closes it.

    Every method is that of :class:`dpip.client.Client` with the same name. ``progress`` functions are called
    in the reactor's thread and must be quick.
    """

    def __init__(self, url: str, token: str = "", **options: Any) -> None:
        """Take the client's options. Raises ValueError when ``url`` is not the address of a server."""
        self._reactor = _running_reactor()
        self._client: Client = self._wait(lambda: Client(self._reactor, url, token, **options))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._wait(self._client.close)

    @property
    def token(self) -> str:
        return self._client.token

    login = _blocking(Client.login)
    logout = _blocking(Client.logout)
    status = _blocking(Client.status)
    filters = _blocking(Client.filters)

    workers = _blocking(Client.workers)
    drain_worker = _blocking(Client.drain_worker)
    resume_worker = _blocking(Client.resume_worker)
    revoke_worker = _blocking(Client.revoke_worker)
    join_token = _blocking(Client.join_token)
    rotate_join_token = _blocking(Client.rotate_join_token)

    create_workload = _blocking(Client.create_workload)
    presets = _blocking(Client.presets)
    preset = _blocking(Client.preset)
    save_preset = _blocking(Client.save_preset)
    delete_preset = _blocking(Client.delete_preset)
    workload = _blocking(Client.workload)
    workloads = _blocking(Client.workloads)
    wait = _blocking(Client.wait)
    cancel = _blocking(Client.cancel)
    retry = _blocking(Client.retry)
    seal = _blocking(Client.seal)
    webhook = _blocking(Client.webhook)
    delete_workload = _blocking(Client.delete_workload)

    upload = _blocking(Client.upload)
    upload_many = _blocking(Client.upload_many)
    download = _blocking(Client.download)
    download_many = _blocking(Client.download_many)
    images = _blocking(Client.images)

    users = _blocking(Client.users)
    tokens = _blocking(Client.tokens)
    add_token = _blocking(Client.add_token)
    revoke_token = _blocking(Client.revoke_token)

    def _wait(self, call: Callable[[], Any]) -> Any:
        if isInIOThread():
            raise RuntimeError(
                "This thread runs the reactor, which must not wait: use dpip.client.Client here."
            )
        return blockingCallFromThread(self._reactor, call)


def _running_reactor() -> Any:
    """Return the reactor; if it does not run yet, start it in a thread that ends with the process."""
    from twisted.internet import reactor

    with _starting:
        if not reactor.running:
            running = Event()
            reactor.callWhenRunning(running.set)
            options = {"installSignalHandlers": False}
            Thread(target=reactor.run, kwargs=options, name="dpip", daemon=True).start()
            running.wait()
    return reactor
