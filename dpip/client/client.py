"""The client itself: one method for each thing that the API does."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Self, TypeVar, overload
from urllib.parse import quote, urlencode
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from dpip.client.answers import Image, Session, Token, User, Workload, read
from dpip.client.bounded import gather_bounded
from dpip.client.connection import connect
from dpip.client.downloads import Fetched, checked, whole_file
from dpip.client.errors import OF_THE_PICTURE, ApiError, ClientError
from dpip.client.retry import Retry
from dpip.client.transport import Reply, Transport
from dpip.client.uploads import together, upload_body
from dpip.http.multipart import Source
from dpip.http.receiving import HashedFile
from dpip.http.server_address import ServerAddress

T = TypeVar("T")
_PAGE = 1000


class Client:
    """One user of one DPIP server.

    Connection errors, 429 and 503 are tried again for up to ``patience`` seconds; a request on which nothing
    moves for ``timeout`` seconds counts as a connection error. Every method may raise
    :class:`~dpip.client.ApiError` (the server said no) and :class:`~dpip.client.Unreachable`.

    An asynchronous context manager that closes its connections; it does not log out.
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

        ``trouble`` is told of each failure that will be tried again.

        ``connections`` is how many are used at once by :meth:`upload_many` and :meth:`download_many`.
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
        """Empty before :meth:`login`."""
        return self._transport.token

    @property
    def patience(self) -> float:
        """Seconds for which a failing request is tried again."""
        return self._retry.patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        self._retry.patience = seconds

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def close(self) -> Deferred[None]:
        """Close the connections that wait for a next request."""
        return self._transport.http.close()

    # The caller

    async def login(self, user: str, password: str) -> Session:
        """Later calls are made as this user."""
        basic = b64encode(f"{user}:{password}".encode()).decode()
        facts = await self._json("POST", "/login", headers={"Authorization": f"Basic {basic}"})
        session = read(Session, facts)
        self._transport.token = session.token
        return session

    async def logout(self) -> None:
        """The token is dead from then on."""
        await self._until_gone("/logout", gone=401)
        self._transport.token = ""

    async def status(self) -> Mapping[str, Any]:
        """``system_name``, ``server_time``, ``active_workloads`` and more."""
        facts: Mapping[str, Any] = await self._json("GET", "/status")
        return facts

    async def filters(self) -> Sequence[Mapping[str, Any]]:
        """The known filters, each with its parameters."""
        facts: Sequence[Mapping[str, Any]] = await self._json("GET", "/filters")
        return facts

    async def workers(self) -> Sequence[Mapping[str, Any]]:
        """Every worker that is known, joined or gone, with its newest load. For admins."""
        facts: Sequence[Mapping[str, Any]] = await self._json("GET", "/workers")
        return facts

    async def drain_worker(self, name: str) -> None:
        """It gets no more jobs, finishes or returns those it has, and ends. For admins."""
        await self._request("POST", f"/workers/{_part(name)}/drain", content={})

    async def revoke_worker(self, name: str) -> None:
        """Its link ends at once, and its certificates are refused. For admins."""
        await self._request("POST", f"/workers/{_part(name)}/revoke", content={})

    async def join_token(self) -> Mapping[str, Any]:
        """``join_token``, ``made_at``, ``expires_at``. For admins."""
        facts: Mapping[str, Any] = await self._json("GET", "/join-token")
        return facts

    async def rotate_join_token(self, seconds: int | None = None, grace: int = 0) -> Mapping[str, Any]:
        """A new one, good for so long; the last one still is for ``grace`` seconds. For admins."""
        content = {"grace": grace} if seconds is None else {"grace": grace, "seconds": seconds}
        facts: Mapping[str, Any] = await self._json("POST", "/join-token", content=content)
        return facts

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
    ) -> Workload:
        """One filter with ``params``, or a chain of ``steps``; grayscale when neither is given."""
        if filter is None and steps is None:
            filter = "grayscale"
        wanted = {
            "filter": filter,
            "workload_name": name,
            "params": params,
            "steps": steps,
            "output": output,
            "numbering": numbering,
            "tags": tags,
        }
        content = {key: value for key, value in wanted.items() if value is not None}
        facts = await self._json("POST", "/workloads", content=content, headers=_once())
        return read(Workload, facts)

    async def workload(self, workload_id: str) -> Workload:
        """As it is now."""
        return read(Workload, await self._json("GET", f"/workloads/{_part(workload_id)}"))

    async def workloads(
        self, most: int | None = None, status: str | None = None, name: str | None = None
    ) -> list[Workload]:
        """The newest ones first, without the lists of their images; an admin's are everybody's.

        Those of one status (or several, with commas), and with that text in their name, if given.
        """
        query = {"limit": _PAGE if most is None else min(most, _PAGE), "status": status, "name": name}
        asked = {key: value for key, value in query.items() if value is not None}
        return [read(Workload, facts) async for facts in self._pages("/workloads", most, **asked)]

    async def why(self, workload_id: str) -> Mapping[str, Any]:
        """Why its jobs are where they are."""
        facts: Mapping[str, Any] = await self._json("GET", f"/workloads/{_part(workload_id)}/why")
        return facts

    async def wait(
        self, workload_id: str, progress: Callable[[Workload], object] | None = None, every: float = 0.5
    ) -> Workload:
        """Ask every so many seconds until it is completed; ``progress`` is called with each answer."""
        while True:
            workload = await self.workload(workload_id)
            if progress is not None:
                progress(workload)
            if workload.completed:
                return workload
            await deferLater(self._clock, every)

    async def cancel(self, workload_id: str) -> Workload:
        """Its images that have not ended fail, with the code ``cancelled``."""
        return await self._change(workload_id, "cancel")

    async def retry(self, workload_id: str, images: Iterable[str] | None = None) -> Workload:
        """Its failed images are filtered again: all, or those of these ids. ``facts["retried"]`` counts them.

        Images that have not failed stay as they are.
        """
        return await self._change(workload_id, "retry", {} if images is None else {"images": list(images)})

    async def seal(self, workload_id: str, webhook: tuple[str, str] | None = None) -> Workload:
        """It takes no more uploads. ``webhook``, url and secret, is called when it has completed."""
        content = {} if webhook is None else {"webhook": {"url": webhook[0], "secret": webhook[1]}}
        return await self._change(workload_id, "seal", content)

    async def webhook(self, workload_id: str) -> Mapping[str, Any]:
        """Whether its webhook is still to be called, and what became of the calls."""
        facts: Mapping[str, Any] = await self._json("GET", f"/workloads/{_part(workload_id)}/webhook")
        return facts

    async def _change(
        self, workload_id: str, action: str, content: Mapping[str, Any] | None = None
    ) -> Workload:
        path = f"/workloads/{_part(workload_id)}/{action}"
        return read(Workload, await self._json("POST", path, content=content or {}))

    async def delete_workload(self, workload_id: str) -> None:
        """With all its images, while jobs run too."""
        await self._until_gone(f"/workloads/{_part(workload_id)}")

    # Images

    async def upload(
        self, workload_id: str, file: Path | str | bytes, name: str | None = None, key: str | None = None
    ) -> Image:
        """A file from disk, read while it is sent, or its bytes; ``name`` is kept with the image.

        However often it has to be tried, the image is added once. To hold that promise over several calls
        too, give the same ``key`` for the same upload.
        """
        source = file if isinstance(file, bytes) else Path(file)
        return read(Image, await self._upload(workload_id, [(source, name or _name_of(source))], key))

    async def _upload(self, workload_id: str, files: Sequence[tuple[Source, str]], key: str | None) -> Any:
        """What the server says of them: an object for one, a list for several, which it takes all or none."""
        return await self._json(
            "POST",
            "/images",
            headers=_once(key),
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
        """An image's bytes, to the file ``to`` (made or replaced when all is there) or returned.

        Length and hash are verified. A number as ``image_id`` is a place in the workload ``workload_id``.
        Raises Damaged; OSError for the file.
        """
        query = {
            key: value for key, value in (("workload_id", workload_id), ("type", type)) if value is not None
        }
        if to is not None:
            await self._fetch(image_id, Path(to), query)
            return None
        data, _ = await self._fetch(image_id, None, query)
        return data

    async def fetch(self, workload_id: str, place: int, to: Path) -> Fetched:
        """The result at a place in its workload, as :meth:`download` does it; tells what it is."""
        _, fetched = await self._fetch(str(place), to, {"workload_id": workload_id})
        return fetched

    async def _fetch(self, image_id: str, to: Path | None, query: Mapping[str, str]) -> tuple[bytes, Fetched]:
        """The bytes (none when they went to a file), and what they are."""

        async def once() -> tuple[bytes, Fetched]:
            memory = BytesIO()
            with HashedFile(memory) if to is None else whole_file(to) as file:
                path = f"/images/{_part(image_id)}"
                answer = await self._transport.request("GET", path, query=query, write=file.write)
                return memory.getvalue(), checked(f"Image {image_id}", answer.response, file)

        return await self._retry(once)

    async def images(self, workload_id: str, type: str = "filtered") -> list[Image]:
        """All originals or results of a workload that are there, in upload order."""
        query = {"workload_id": workload_id, "type": type, "limit": _PAGE}
        return [read(Image, facts) async for facts in self._pages("/images", None, **query)]

    async def upload_many(
        self,
        workload_id: str,
        files: Iterable[Path | str | tuple[str, bytes]],
        progress: Callable[[Image], object] | None = None,
    ) -> list[Image]:
        """Paths, or names with bytes; several at a time, so the workload's order need not be the given one.

        Small ones share a request. The answers are in the given order, and each image's ``seq`` tells its
        place. ``progress`` is called with each image as it is taken.
        """

        async def some(group: Sequence[tuple[Source, str]]) -> list[Image]:
            if len(group) > 1:
                try:
                    answers = await self._upload(workload_id, group, None)
                    return [_told(read(Image, facts), progress) for facts in answers]
                except ApiError as error:
                    if error.code not in OF_THE_PICTURE:
                        raise
            # Alone, or after one of them was refused, which the others need not be.
            return [_told(await self.upload(workload_id, *file), progress) for file in group]

        groups = await gather_bounded(self.connections, some, together(map(_named, files)))
        return [image for group in groups for image in group]

    async def download_many(
        self, images: Iterable[tuple[str, Path | str]], progress: Callable[[str], object] | None = None
    ) -> None:
        """Pairs of image id and file; several at a time. ``progress`` is called with each id."""

        async def one(pair: tuple[str, Path | str]) -> None:
            await self.download(*pair)
            _told(pair[0], progress)

        await gather_bounded(self.connections, one, images)

    # Users

    async def users(self) -> list[User]:
        """By name. For admins."""
        return [read(User, facts) for facts in await self._json("GET", "/users")]

    async def add_user(self, name: str, password: str, admin: bool = False, quota: int | None = None) -> User:
        """``quota`` is in bytes, None for no limit. For admins."""
        content = {"user": name, "password": password, "role": "admin" if admin else "user", "quota": quota}
        return read(User, await self._json("POST", "/users", content=content))

    async def remove_user(self, name: str) -> None:
        """With all its workloads. For admins."""
        await self._until_gone(f"/users/{_part(name)}")

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
        """One's own, those with names first; an admin's are everybody's, or those of one user."""
        query = {"limit": _PAGE} | ({} if user is None else {"user": user})
        found = await self._json("GET", f"/tokens?{urlencode(query)}")
        return [read(Token, facts) for facts in found]

    async def add_token(self, name: str, days: int | None = None, user: str | None = None) -> Token:
        """A token for a program, whose ``token`` is told here alone; an admin makes them for others, too."""
        asked = {"name": name, "days": days, "user": user}
        content = {key: value for key, value in asked.items() if value is not None}
        return read(Token, await self._json("POST", "/tokens", content=content))

    async def revoke_token(self, token_id: str) -> None:
        """It is dead from then on."""
        await self._until_gone(f"/tokens/{_part(token_id)}")

    # How

    async def _request(self, method: str, path: str, **arguments: Any) -> Reply:
        return await self._retry(lambda: self._transport.request(method, path, **arguments))

    async def _json(self, method: str, path: str, **arguments: Any) -> Any:
        return (await self._request(method, path, **arguments)).json()

    async def _pages(self, path: str, most: int | None, **query: Any) -> AsyncIterator[Any]:
        """The members of a list that comes in pages, the first ``most`` of them."""
        following: str | None = f"{path}?{urlencode(query)}"
        number = 0
        while following is not None and number != most:
            answer = await self._request("GET", following)
            for facts in answer.json()[: None if most is None else most - number]:
                number += 1
                yield facts
            following = answer.next_page()

    async def _until_gone(self, path: str, gone: int = 404) -> None:
        """DELETE; that it is gone already is no error when an earlier try, whose answer was lost, did it."""
        try:
            await self._request("DELETE", path)
        except ApiError as error:
            if error.status != gone or error.attempts == 1:
                raise


def _once(key: str | None = None) -> dict[str, str]:
    return {"Idempotency-Key": key or uuid4().hex}


def _part(text: str) -> str:
    return quote(text, safe="")


def _named(file: Path | str | tuple[str, bytes]) -> tuple[Source, str]:
    if isinstance(file, tuple):
        return file[1], file[0]
    path = Path(file)
    return path, path.name


def _name_of(source: Path | bytes) -> str:
    return source.name if isinstance(source, Path) else "image"


def _told(value: T, progress: Callable[[T], object] | None) -> T:
    if progress is not None:
        progress(value)
    return value
