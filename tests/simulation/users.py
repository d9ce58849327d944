"""Users who upload, poll, download, delete and log out, and remember exactly what they were promised."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from dpip.client import ApiError, Client, ClientError, Unreachable
from dpip.filters.registry import find
from tests.simulation.nodes import CONTROLLER, HTTP, PASSWORD
from tests.simulation.pictures import filtered, nature, picture
from tests.simulation.process import Process
from tests.simulation.world import World

T = TypeVar("T")

_BOUND = 240.0
"""Seconds after the last fault within which all work must have ended (I7)."""
_PATIENCE = 8.0
_TIMEOUT = 20.0
_THINKING = 1.0
_RARELY = 15.0


@define(eq=False)
class Original:
    """One picture on its way in. ``state``: new, unknown (perhaps it is there), acknowledged, refused."""

    data: bytes
    key: str
    state: str = "new"
    image_id: str = ""
    seq: int = -1


@define(eq=False)
class Order:
    """One workload as its owner knows it. ``state``: open, unknown (perhaps deleted), deleted."""

    id: str
    filter: str
    originals: list[Original] = field(factory=list)
    state: str = "open"
    results: dict[str, str] = field(factory=dict)  # image id -> SHA-256, as downloaded
    ended: dict[str, str] = field(factory=dict)  # image id -> how, as polled

    def result_of(self, original: Original, fingerprint: str) -> bytes:
        """What a single process with such an engine makes of it."""
        versions = {self.filter: find(self.filter).version}
        return filtered(original.data, [(self.filter, {})], versions, fingerprint)


class User:
    """What one user does with ``images`` pictures. ``done`` fires when everything has been checked."""

    def __init__(
        self, world: World, process: Process, name: str, images: int, others: Sequence[User]
    ) -> None:
        self.name = name
        self.orders: list[Order] = []
        self.done: Deferred[None] = Deferred()
        self.token = ""
        self._world = world
        self._process = process
        self._images = images
        self._others = others
        self._chance = process.streams["user"]
        self._made = 0
        self.client = Client(process, f"http://{CONTROLLER}:{HTTP}", patience=_PATIENCE, timeout=_TIMEOUT)
        self.client._retry.chance = process.streams["retry"].random

    async def live(self) -> None:
        """The whole story; ends when the user has logged out."""
        await self._pause(self._chance.uniform(0, 5))
        await self._until_done("logs in", lambda: self.client.login(self.name, PASSWORD))
        self.token = self.client.token
        for _ in range(self._chance.choice((1, 1, 2))):
            await self._order()
        await self._world_is_calm()
        await self._settle()
        await self._check()
        await self._pry()
        await self._log_out()
        await self.client.close()

    # One workload

    async def _order(self) -> None:
        name = self._chance.choice(("grayscale", "blur", "sepia"))
        made = await self._until_done("orders", lambda: self.client.create_workload(name, numbering="ids"))
        order = Order(made.workload_id, made.filter)
        self.orders.append(order)
        originals = [self._original(f"{order.filter}-{number}") for number in range(self._images)]
        if self._chance.random() < 0.4:  # all at once
            works = [Deferred.fromCoroutine(self._upload(order, original)) for original in originals]
            await gatherResults(works, consumeErrors=True)
            originals = []
        for original in originals:
            await self._upload(order, original)
            if self._chance.random() < 0.3:
                await self._pause(self._chance.expovariate(1 / _THINKING))
            if self._chance.random() < 0.3:
                await self._look(order)
        if self._chance.random() < 0.2:
            await self._misuse_a_key(order)
        if self._chance.random() < 0.15:
            await self._delete(order)

    def _original(self, words: str) -> Original:
        self._made += 1
        kind = self._chance.choices(("", "crash! ", "refuse! ", "hang! "), (20, 1, 1, 1))[0]
        padding = self._chance.choice((0, 0, 0, 3000, 3000, 100_000))
        data = picture(f"{kind}{self.name} {self._made} {words}", padding)
        return Original(data, f"{self.name}-{self._made}")

    async def _upload(self, order: Order, original: Original) -> None:
        if original not in order.originals:
            order.originals.append(original)
        original.state = "unknown"
        image = await self._attempt(
            f"uploads {original.key}",
            lambda: self.client.upload(order.id, original.data, f"{original.key}.png", key=original.key),
        )
        if image is None:
            return
        original.state, original.image_id, original.seq = "acknowledged", image.image_id, image.seq
        if image.sha256 != hashlib.sha256(original.data).hexdigest():
            self._violated(f"I2: {original.key} was kept as something else")

    async def _misuse_a_key(self, order: Order) -> None:
        """Another picture under the same key is refused, and changes nothing."""
        known = [original for original in order.originals if original.state == "acknowledged"]
        if not known:
            return
        other, key = self._original("under another's key").data, self._chance.choice(known).key
        try:
            await self.client.upload(order.id, other, "other.png", key=key)
        except ApiError as error:
            if error.status not in (422, 429, 503, 507):
                self._violated(f"another picture under the key {key} is answered {error.status} {error}")
        except Unreachable:
            return
        else:
            self._violated(f"another picture under the key {key} was taken")

    async def _look(self, order: Order) -> None:
        """What has ended stays ended, as it was (I3)."""
        workload = await self._attempt(f"looks at {order.id}", lambda: self.client.workload(order.id))
        if workload is None:
            return
        acknowledged = sum(original.state == "acknowledged" for original in order.originals)
        if workload.accepted < acknowledged:
            self._violated(f"I1: {acknowledged} originals acknowledged, {workload.accepted} are there")
        now = dict.fromkeys(workload.filtered_images, "filtered")
        now |= {failed.image_id: f"failed: {failed.code}" for failed in workload.failed_images}
        for image_id, how in order.ended.items():
            if now.get(image_id) != how:
                self._violated(f"I3: image {image_id} was {how}, now it is {now.get(image_id)}")
        order.ended = now
        if workload.filtered_images and self._chance.random() < 0.5:
            await self._download(order, self._chance.choice(workload.filtered_images))

    async def _download(self, order: Order, image_id: str) -> None:
        data = await self._attempt(f"downloads {image_id}", lambda: self.client.download(image_id))
        if data is None:
            return
        digest = hashlib.sha256(data).hexdigest()
        if order.results.setdefault(image_id, digest) != digest:
            self._violated(f"I3: result {image_id} has changed")
        if not any(self._made_of(data, order, original) for original in order.originals):
            self._violated(f"I2: result {image_id} is of no original of its workload")

    async def _delete(self, order: Order) -> None:
        order.state = "unknown"
        try:
            await self.client.delete_workload(order.id)
            order.state = "deleted"
        except Unreachable:
            return
        except ApiError as error:
            if error.status == 404:
                order.state = "deleted"

    # When the faults are over

    async def _world_is_calm(self) -> None:
        waiting: Deferred[None] = Deferred()
        process = self._process

        def wake(result: None) -> None:
            self._world.clock.call(process, 0.0, waiting.callback, None)

        self._world.calm.addCallback(wake)
        await waiting

    async def _settle(self) -> None:
        """What was left unknown is asked for again, under the same keys, until it is known."""
        for order in self.orders:
            if order.state == "unknown":
                await self._until_done(
                    "deletes", lambda order=order: self.client.delete_workload(order.id), 404
                )
                order.state = "deleted"
            while order.state == "open" and (
                open_ones := [one for one in order.originals if one.state == "unknown"]
            ):
                for original in open_ones:
                    await self._upload(order, original)
                self._in_time("to take what was uploaded again")
        end, pause = self._world.clock.now + _BOUND, 1.0
        for order in self.orders:
            while order.state == "open" and not await self._completed(order):
                if self._world.clock.now > end:
                    self._violated(f"I7: workload {order.id} is not completed after {_BOUND:.0f} s")
                    return
                await self._pause(pause)
                pause = min(_RARELY, pause * 1.5)

    async def _completed(self, order: Order) -> bool:
        workload = await self._attempt("asks", lambda: self.client.workload(order.id))
        return workload is not None and (workload.completed or not order.originals)

    async def _check(self) -> None:
        for order in self.orders:
            if order.state == "deleted":
                await self._refused(
                    "a deleted workload", 404, lambda order=order: self.client.workload(order.id)
                )
            else:
                await self._look(order)
                await self._read_back(order)

    async def _read_back(self, order: Order) -> None:
        """Every original is there, at its place, and has ended in exactly one way (I1, I2)."""
        workload = await self._until_done("asks", lambda: self.client.workload(order.id))
        originals = {
            i.seq: i
            for i in await self._until_done("lists", lambda: self.client.images(order.id, "original"))
        }
        results = {i.seq: i for i in await self._until_done("lists", lambda: self.client.images(order.id))}
        failed = {each.seq: each for each in workload.failed_images}
        if list(workload.filtered_images) != [results[seq].image_id for seq in sorted(results)]:
            self._violated(f"the results of {order.id} are not in upload order")
        if sorted(originals) != list(range(len(order.originals))):
            self._violated(f"I1: {len(order.originals)} originals, but their places are {sorted(originals)}")
            return
        for original in order.originals:
            kept = originals[original.seq]
            if (kept.image_id, kept.sha256) != (original.image_id, hashlib.sha256(original.data).hexdigest()):
                self._violated(f"I1: original {original.key} is not what was acknowledged")
            if (original.seq in results) == (original.seq in failed):
                self._violated(f"I1: {original.key} has {'two ends' if original.seq in failed else 'no end'}")
            elif original.seq in results:
                await self._check_result(original, order, results[original.seq].image_id)
            elif not nature(original.data) and failed[original.seq].code not in self._excusable:
                self._violated(f"I1: {original.key} failed for no reason: {failed[original.seq].code}")

    _excusable = ("compute-crashed", "worker-lost-too-often", "cannot-decode", "compute-timeout")

    async def _check_result(self, original: Original, order: Order, image_id: str) -> None:
        data = await self._until_done("downloads", lambda: self.client.download(image_id))
        if not self._made_of(data, order, original):
            self._violated(f"I2: the result of {original.key} is not what a single process gives")
        if nature(original.data):
            self._violated(f"I1: {original.key} cannot be filtered, but was")

    def _made_of(self, data: bytes, order: Order, original: Original) -> bool:
        return any(data == order.result_of(original, each) for each in self._world.fingerprints)

    async def _log_out(self) -> None:
        token = self.client.token
        await self._until_done("logs out", self.client.logout)
        self.client._transport.token = token
        await self._refused("a token after logout", 401, self.client.status)

    async def _pry(self) -> None:
        """Somebody else's things are not there (I5)."""
        for other in [order for user in self._others for order in user.orders if user is not self]:
            await self._refused("a foreign workload", 404, lambda id=other.id: self.client.workload(id))
            for original in other.originals[:1]:
                if original.image_id:
                    image_id = original.image_id
                    await self._refused("a foreign image", 404, lambda id=image_id: self.client.download(id))

    async def _refused(self, what: str, status: int, ask: Callable[[], Awaitable[object]]) -> None:
        while True:
            try:
                await ask()
            except ApiError as error:
                if error.transient or error.status == 507:
                    self._in_time("to be answered")
                    continue
                if error.status != status:
                    self._violated(f"I5: {what} is answered {error.status} {error}")
                return
            except Unreachable:
                self._in_time("to be reachable")
                continue
            self._violated(f"I5: {what} is still good")
            return

    # How

    async def _attempt(self, what: str, ask: Callable[[], Awaitable[T]]) -> T | None:
        """None when there is no answer now, and the outcome is unknown."""
        try:
            answer = await ask()
        except (Unreachable, ApiError) as error:
            status = getattr(error, "status", 0)
            self._note(f"{what}: {status or 'unknown'} {error}")
            if status not in (0, 429, 503, 507) and not (status == 404 and self._may_be_gone):
                self._violated(f"{what}: unexpected answer {status} {error}")
            return None
        self._note(f"{what}: ok")
        return answer

    @property
    def _may_be_gone(self) -> bool:
        return any(order.state != "open" for order in self.orders)

    async def _until_done(self, what: str, ask: Callable[[], Awaitable[T]], gone: int = 0) -> Any:
        while True:
            try:
                answer = await ask()
                self._note(f"{what}: ok")
                return answer
            except ApiError as error:
                if error.status == gone:
                    return None
                self._note(f"{what}: {error.status} {error}")
                if error.status not in (429, 503, 507):
                    self._violated(f"{what}: unexpected answer {error.status} {error}")
                    raise
            except ClientError as error:
                self._note(f"{what}: unknown, {error}")
                if not isinstance(error, Unreachable):
                    self._violated(f"{what}: {error}")
            self._in_time(f"for: {self.name} {what}")
            await self._pause(0.5)

    def _in_time(self, what: str) -> None:
        if self._world.calm.called and self._world.clock.now > self._world.calm_since + _BOUND:
            self._violated(f"I7: not in time {what}")
            raise OutOfTime(what)

    async def _pause(self, seconds: float) -> None:
        await deferLater(self._process, seconds)

    def _note(self, words: str) -> None:
        self._world.trace(f"{self.name} {words}")

    def _violated(self, words: str) -> None:
        self._world.violated(f"{self.name}: {words}")


class OutOfTime(Exception):
    """The bound of I7 has been passed; it has been recorded."""
