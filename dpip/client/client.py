"""The client: one method for each endpoint of the API."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Self, TypeVar, cast, overload
from urllib.parse import quote, urlencode
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from dpip.client.answers import Image, Session, Token, User, Workload, read
from dpip.client.bounded import gather_bounded
from dpip.client.connection import connect
from dpip.client.downloads import Fetched, verify, whole_file
from dpip.client.errors import OF_THE_PICTURE, ApiError, ClientError
from dpip.client.retry import Retry
from dpip.client.transport import Reply, Transport
from dpip.client.uploads import group_small_files, upload_body
from dpip.http.multipart import Source
from dpip.http.receiving import HashedFile
from dpip.http.server_address import ServerAddress

T = TypeVar("T")
_PAGE = 1000


class Client:
    """One user of one DPIP server.

    Connection errors, 429 and 503 are tried again for up to ``patience`` seconds; a request on which nothing
    moves for ``timeout`` seconds counts as a connection error. Every method may raise
    :class:`~dpip.client.ApiError` (the server refused) and :class:`~dpip.client.Unreachable`.

    As an asynchronous context manager it closes its connections; it does not log out.
    """

    def __init__(
        self,
        reactor: Any,
        url: str,
        token: str = "",
        *,
        connections: int = 4,
        patience: float = 30.0,
        timeout: float = 60.0,
        authority: Path | None = None,
        clock: IReactorTime | None = None,
        trouble: Callable[[ClientError], object] | None = None,
    ) -> None:
        """``authority`` is a PEM file of certificates to trust instead of the system's.

        ``trouble`` is called with each failure that will be tried again. ``connections`` is how many
        :meth:`upload_many` and :meth:`download_many` use at once.

        Raises ValueError when ``url`` is not the address of a server.
        """
        address = ServerAddress.parse(url)
        self.url = address.url
        self.connections = connections
        self._clock: IReactorTime = clock or reactor
        http = connect(reactor, address, connections, authority)
        self._transport = Transport(address.url, http, self._clock, timeout, token)
        self._retry = Retry(self._clock, patience, told=trouble)

    @property
    def token(self) -> str:
        """The token that requests carry; empty before :meth:`login`."""
        return self._transport.token

    @property
    def patience(self) -> float:
        """The seconds for which a failing request is tried again."""
        return self._retry.patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        self._retry.patience = seconds

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def close(self) -> Deferred[None]:
        """Close the idle connections."""
        return self._transport.http.close()

    # Logins and the system

    async def login(self, user: str, password: str) -> Session:
        """Log in: later calls are made as this user."""
        basic = b64encode(f"{user}:{password}".encode()).decode()
        facts = await self._json("POST", "/login", headers={"Authorization": f"Basic {basic}"})
        session = read(Session, facts)
        self._transport.token = session.token
        return session

    async def logout(self) -> None:
        """Revoke the token of the login."""
        await self._delete("/logout", gone=401)
        self._transport.token = ""

    async def status(self) -> Mapping[str, Any]:
        """Return ``system_name``, ``server_time``, ``active_workloads`` and more."""
        return await self._object("GET", "/status")

    async def filters(self) -> Sequence[Mapping[str, Any]]:
        """List the known filters, each with its parameters."""
        return await self._objects("/filters")

    async def workers(self, most: int | None = None, state: str | None = None) -> Sequence[Mapping[str, Any]]:
        """List up to ``most`` known workers by name, with their newest load. For admins.

        ``state`` selects those that have ``joined``, or that are ``gone``.
        """
        query = _given(limit=_PAGE if most is None else min(most, _PAGE), state=state)
        return [facts async for facts in self._pages("/workers", most, **query)]

    async def drain_worker(self, name: str) -> None:
        """Drain a worker: it gets no more jobs, finishes or returns those it has, and ends. For admins."""
        await self._request("POST", f"/workers/{_part(name)}/drain", content={})

    async def resume_worker(self, name: str) -> None:
        """Start the worker in the service's own process again, which was drained. For admins."""
        await self._request("POST", f"/workers/{_part(name)}/resume", content={})

    async def revoke_worker(self, name: str) -> None:
        """Revoke a worker: its link ends at once, and its certificates are refused. For admins."""
        await self._request("POST", f"/workers/{_part(name)}/revoke", content={})

    async def join_token(self) -> Mapping[str, Any]:
        """Return ``join_token``, ``made_at`` and ``expires_at``. For admins."""
        return await self._object("GET", "/join-token")

    async def rotate_join_token(self, seconds: int | None = None, grace: int = 0) -> Mapping[str, Any]:
        """Make a new join token, good for ``seconds``; the last one stays good for ``grace``. For admins."""
        return await self._object("POST", "/join-token", content=_given(grace=grace, seconds=seconds))

    # Workloads

    async def create_workload(
        self,
        filter: str | None = None,
        name: str | None = None,
        params: Mapping[str, Any] | None = None,
        steps: Sequence[Mapping[str, Any]] | None = None,
        output: Mapping[str, Any] | None = None,
        numbering: str | None = None,
        tags: Sequence[str] | None = None,
        preset: str | None = None,
    ) -> Workload:
        """Create a workload of one filter with ``params``, or of ``steps``, or of a ``preset``.

        With ``output`` alone it converts; with nothing at all it is grayscale.
        """
        if filter is None and steps is None and preset is None and not output:
            filter = "grayscale"
        wanted = _given(filter=filter, params=params, steps=steps, output=output, workload_name=name)
        wanted |= _given(numbering=numbering, tags=tags, preset=preset)
        facts = await self._json("POST", "/workloads", content=wanted, headers=_idempotency_key())
        return read(Workload, facts)

    async def presets(self) -> Sequence[Mapping[str, Any]]:
        """List your presets by name, each with its ``steps``, ``output`` and ``tags``."""
        return await self._objects("/presets")

    async def preset(self, name: str) -> Mapping[str, Any]:
        """Return one of your presets."""
        return await self._object("GET", f"/presets/{_part(name)}")

    async def save_preset(
        self,
        name: str,
        steps: Sequence[Mapping[str, Any]],
        output: Mapping[str, Any] | None = None,
        tags: Sequence[str] | None = None,
        force: bool = False,
    ) -> Mapping[str, Any]:
        """Keep filters under a name; with ``force`` also under one that is taken."""
        content = _given(steps=steps, output=output, tags=tags) | {"force": force}
        return await self._object("PUT", f"/presets/{_part(name)}", content=content)

    async def delete_preset(self, name: str) -> None:
        """Delete one of your presets."""
        await self._request("DELETE", f"/presets/{_part(name)}")

    async def workload(self, workload_id: str) -> Workload:
        """Return the workload as it is now."""
        return read(Workload, await self._json("GET", f"/workloads/{_part(workload_id)}"))

    async def workloads(
        self, most: int | None = None, status: str | None = None, name: str | None = None
    ) -> list[Workload]:
        """List up to ``most`` workloads, newest first, without their images; admins see everybody's.

        ``status`` selects by one status, or several with commas; ``name`` by a text in the name.
        """
        query = _given(limit=_PAGE if most is None else min(most, _PAGE), status=status, name=name)
        return [read(Workload, facts) async for facts in self._pages("/workloads", most, **query)]

    async def why(self, workload_id: str) -> Mapping[str, Any]:
        """Explain where the workload's jobs are, and why."""
        return await self._object("GET", f"/workloads/{_part(workload_id)}/why")

    async def wait(
        self, workload_id: str, progress: Callable[[Workload], object] | None = None, every: float = 0.5
    ) -> Workload:
        """Wait until the workload is completed, asking every ``every`` seconds.

        ``progress`` is called with each answer.
        """
        while True:
            workload = await self.workload(workload_id)
            if progress is not None:
                progress(workload)
            if workload.completed:
                return workload
            await deferLater(self._clock, every)

    async def cancel(self, workload_id: str) -> Workload:
        """Cancel a workload: images that are not done yet fail with the code ``cancelled``."""
        return await self._change(workload_id, "cancel")

    async def retry(self, workload_id: str, images: Iterable[str] | None = None) -> Workload:
        """Filter the failed images again: all, or those with the ids ``images``.

        ``facts["retried"]`` counts them. Images that have not failed stay as they are.
        """
        return await self._change(workload_id, "retry", {} if images is None else {"images": list(images)})

    async def seal(self, workload_id: str, webhook: tuple[str, str] | None = None) -> Workload:
        """Seal a workload: it takes no more uploads.

        ``webhook``, a URL and a secret, is called when the workload has completed.
        """
        content = {} if webhook is None else {"webhook": {"url": webhook[0], "secret": webhook[1]}}
        return await self._change(workload_id, "seal", content)

    async def webhook(self, workload_id: str) -> Mapping[str, Any]:
        """Tell whether the workload's webhook is still to be called, and how the calls ended."""
        return await self._object("GET", f"/workloads/{_part(workload_id)}/webhook")

    async def _change(
        self, workload_id: str, action: str, content: Mapping[str, Any] | None = None
    ) -> Workload:
        path = f"/workloads/{_part(workload_id)}/{action}"
        return read(Workload, await self._json("POST", path, content=content or {}))

    async def delete_workload(self, workload_id: str) -> None:
        """Delete a workload with all its images, even while its jobs run."""
        await self._delete(f"/workloads/{_part(workload_id)}")

    # Images

    async def upload(
        self, workload_id: str, file: Path | str | bytes, name: str | None = None, key: str | None = None
    ) -> Image:
        """Upload a file, which is read while it is sent, or its bytes; ``name`` is kept with the image.

        The image is added once, however often the request is tried. To have the same over several calls,
        give the same ``key`` for the same upload.
        """
        source = file if isinstance(file, bytes) else Path(file)
        return read(Image, await self._upload(workload_id, [(source, name or _name_of(source))], key))

    async def _upload(self, workload_id: str, files: Sequence[tuple[Source, str]], key: str | None) -> Any:
        """Upload files in one request, of which the server takes all or none.

        The answer is an object for one file, a list for several.
        """
        return await self._json(
            "POST",
            "/images",
            headers=_idempotency_key(key),
            body=lambda moved: upload_body(workload_id, files, self._clock, moved),
        )

    @overload
    async def download(
        self, image_id: str, to: None = None, workload_id: str | None = None, type: str | None = None
    ) -> bytes: ...

    @overload
    async def download(
        self, image_id: str, to: Path | str, workload_id: str | None = None, type: str | None = None
    ) -> None: ...

    async def download(
        self,
        image_id: str,
        to: Path | str | None = None,
        workload_id: str | None = None,
        type: str | None = None,
    ) -> bytes | None:
        """Download an image: return its bytes, or write them to the file ``to``, which appears whole.

        Length and hash are verified. A number as ``image_id`` is a place in the workload ``workload_id``.
        Raises Damaged; OSError for the file.
        """
        query = _given(workload_id=workload_id, type=type)
        if to is not None:
            await self._fetch(image_id, Path(to), query)
            return None
        data, _ = await self._fetch(image_id, None, query)
        return data

    async def fetch(self, workload_id: str, place: int, to: Path) -> Fetched:
        """Download the result at a place in its workload as :meth:`download` does; returns what it is."""
        _, fetched = await self._fetch(str(place), to, {"workload_id": workload_id})
        return fetched

    async def _fetch(self, image_id: str, to: Path | None, query: Mapping[str, str]) -> tuple[bytes, Fetched]:
        """Download an image: returns its bytes (none if they went to a file), and what they are."""

        async def once() -> tuple[bytes, Fetched]:
            memory = BytesIO()
            with HashedFile(memory) if to is None else whole_file(to) as file:
                path = f"/images/{_part(image_id)}"
                answer = await self._transport.request("GET", path, query=query, write=file.write)
                return memory.getvalue(), verify(f"Image {image_id}", answer.response, file)

        return await self._retry(once)

    async def images(self, workload_id: str, type: str = "filtered") -> list[Image]:
        """List the originals or results of a workload that exist so far, in upload order."""
        query = {"workload_id": workload_id, "type": type, "limit": _PAGE}
        return [read(Image, facts) async for facts in self._pages("/images", None, **query)]

    async def upload_many(
        self,
        workload_id: str,
        files: Iterable[Path | str | tuple[str, bytes]],
        progress: Callable[[Image], object] | None = None,
    ) -> list[Image]:
        """Upload paths, or names with bytes, several at a time; small ones share a request.

        The answers are in the given order. The workload's order may be another: see each image's ``seq``.
        ``progress`` is called with each image that the server has taken.
        """

        async def upload_group(group: Sequence[tuple[Source, str]]) -> list[Image]:
            if len(group) > 1:
                try:
                    answers = await self._upload(workload_id, group, None)
                    return [_reported(read(Image, facts), progress) for facts in answers]
                except ApiError as error:
                    if error.code not in OF_THE_PICTURE:
                        raise
            # One file; or several of which one was refused, and the others may be accepted.
            return [_reported(await self.upload(workload_id, *file), progress) for file in group]

        groups = await gather_bounded(self.connections, upload_group, group_small_files(map(_named, files)))
        return [image for group in groups for image in group]

    async def download_many(
        self, images: Iterable[tuple[str, Path | str]], progress: Callable[[str], object] | None = None
    ) -> None:
        """Download pairs of image id and file, several at a time; ``progress`` is called with each id."""

        async def one(pair: tuple[str, Path | str]) -> None:
            await self.download(*pair)
            _reported(pair[0], progress)

        await gather_bounded(self.connections, one, images)

    # Users

    async def users(self) -> list[User]:
        """List the users by name. For admins."""
        return [read(User, facts) for facts in await self._json("GET", "/users")]

    async def add_user(self, name: str, password: str, admin: bool = False, quota: int | None = None) -> User:
        """Add a user; ``quota`` is in bytes, None for no limit. For admins."""
        content = {"user": name, "password": password, "role": "admin" if admin else "user", "quota": quota}
        return read(User, await self._json("POST", "/users", content=content))

    async def remove_user(self, name: str) -> None:
        """Remove a user with all workloads. For admins."""
        await self._delete(f"/users/{_part(name)}")

    async def set_password(self, name: str, password: str, old_password: str | None = None) -> None:
        """Set one's own, which needs the old one, or as an admin anybody's.

        All tokens of that user die, perhaps this client's too.
        """
        content = {"password": password}
        if old_password is not None:
            content["old_password"] = old_password
        await self._request("PUT", f"/users/{_part(name)}/password", content=content)

    # Tokens

    async def tokens(self, user: str | None = None) -> list[Token]:
        """List one's own tokens, named ones first; admins see everybody's, or those of ``user``."""
        found = await self._json("GET", f"/tokens?{urlencode(_given(limit=_PAGE, user=user))}")
        return [read(Token, facts) for facts in found]

    async def add_token(self, name: str, days: int | None = None, user: str | None = None) -> Token:
        """Make a token for a program; only this answer has its ``token``. Admins may do so for others."""
        content = _given(name=name, days=days, user=user)
        return read(Token, await self._json("POST", "/tokens", content=content))

    async def revoke_token(self, token_id: str) -> None:
        """Revoke a token, at once."""
        await self._delete(f"/tokens/{_part(token_id)}")

    # Requests

    async def _request(self, method: str, path: str, **arguments: Any) -> Reply:
        return await self._retry(lambda: self._transport.request(method, path, **arguments))

    async def _json(self, method: str, path: str, **arguments: Any) -> Any:
        return (await self._request(method, path, **arguments)).json()

    async def _object(self, method: str, path: str, **arguments: Any) -> Mapping[str, Any]:
        return cast(Mapping[str, Any], await self._json(method, path, **arguments))

    async def _objects(self, path: str) -> Sequence[Mapping[str, Any]]:
        return cast(Sequence[Mapping[str, Any]], await self._json("GET", path))

    async def _pages(self, path: str, most: int | None, **query: Any) -> AsyncIterator[Any]:
        """Yield the first ``most`` members of a list that comes in pages."""
        following: str | None = f"{path}?{urlencode(query)}"
        number = 0
        while following is not None and number != most:
            answer = await self._request("GET", following)
            for facts in answer.json()[: None if most is None else most - number]:
                number += 1
                yield facts
            following = answer.next_page()

    async def _delete(self, path: str, gone: int = 404) -> None:
        """Delete; the status ``gone`` is no error after an earlier try, whose answer may have been lost."""
        try:
            await self._request("DELETE", path)
        except ApiError as error:
            if error.status != gone or error.attempts == 1:
                raise


def _idempotency_key(key: str | None = None) -> dict[str, str]:
    return {"Idempotency-Key": key or uuid4().hex}


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _part(text: str) -> str:
    return quote(text, safe="")


def _named(file: Path | str | tuple[str, bytes]) -> tuple[Source, str]:
    if isinstance(file, tuple):
        return file[1], file[0]
    path = Path(file)
    return path, path.name


def _name_of(source: Path | bytes) -> str:
    return source.name if isinstance(source, Path) else "image"


def _reported(value: T, progress: Callable[[T], object] | None) -> T:
    if progress is not None:
        progress(value)
    return value
