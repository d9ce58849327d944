"""Celery's tasks. ``PEER_REDIS`` is the port of its Redis, ``PEER_STORE`` that of ``store.py``."""

from __future__ import annotations

import os
from http.client import HTTPConnection

from celery import Celery
from pillow_job import filtered, filtered_file

_redis = f"redis://127.0.0.1:{os.environ['PEER_REDIS']}"
app = Celery("peer", broker=f"{_redis}/0", backend=f"{_redis}/1")
app.conf.update(worker_prefetch_multiplier=4, result_expires=600)
_connections: list[HTTPConnection] = []


def exchange(method: str, name: str, data: bytes | None = None) -> bytes:
    """One request to the store, over a connection that is kept."""
    if not _connections:
        _connections.append(HTTPConnection("127.0.0.1", int(os.environ["PEER_STORE"])))
    connection = _connections[0]
    connection.request(method, f"/{name}", data)
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, response.status
    return body


@app.task
def by_file(source: str, target: str, filter: str) -> None:
    filtered_file(source, target, filter)


@app.task
def by_http(name: str, filter: str) -> None:
    exchange("PUT", f"{name}.out", filtered(exchange("GET", name), filter))
