"""The HTTP server: it joins connections, requests and routes, and writes the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cachetools import LRUCache
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel
from twisted.web import server
from twisted.web.resource import IResource

from dpip.api.http.channel import Channel
from dpip.api.http.early_refusals import EarlyRefusals
from dpip.api.http.gate import Gate, is_upload
from dpip.api.http.limits import HttpLimits
from dpip.api.http.problems import LATER
from dpip.api.http.request import Request
from dpip.model import Principal
from dpip.runtime.logs import LogRateLimit

_LINE = "{id} {method} {path} {status} {ms} ms {user}{made}"


_USERS = 1_000  # whose lines are counted
_LINES_EACH = 120  # a minute, of one user

Shortcut = Callable[[Request], bool]


class Site(server.Site):
    """The factory of connections. ``clock`` measures durations; ``ids()`` gives request ids.

    ``resource`` answers what ``shortcut(request)`` does not answer, which it says by False. When ``quiet``,
    there is no line in the log for what was only read or is the daily work.
    """

    noisy = False  # no line when it starts
    displayTracebacks = False
    requestFactory = Request
    protocol: Any = Channel

    def __init__(
        self,
        resource: IResource,
        gate: Gate,
        ids: Callable[[], str],
        clock: IReactorTime,
        limits: HttpLimits,
        shortcut: Shortcut,
        quiet: bool = False,
        early: EarlyRefusals | None = None,
    ) -> None:
        super().__init__(resource, timeout=limits.idle_seconds, reactor=clock, parsePOSTFormSubmission=False)
        self.logger = Logger(namespace="dpip.api")
        self.gate = gate
        self.ids = ids
        self.clock = clock
        self.limits = limits
        self.shortcut = shortcut
        self.quiet = quiet
        self.early = early
        self.ration = LogRateLimit(self.logger, clock)
        self._rations: LRUCache[str, LogRateLimit] = LRUCache(_USERS)

    def startFactory(self) -> None:
        """Do nothing: Twisted's starts a timer that formats the time of the access log every second."""

    def stopFactory(self) -> None:
        """Do nothing, since nothing was started."""

    def acceptableProtocols(self) -> list[bytes]:
        """Offer HTTP/1.1 only: the deadlines and early answers are made for its channel."""
        return [b"http/1.1"]

    def log(self, request: Any) -> None:
        """Write a line for an answer: at level info if it went wrong or changed something, else at debug.

        Refusals of strangers, and of requests that were too many, get only so many lines a minute, and so
        does each user: nobody can push out of the log what others did.
        """
        if _comes_in_floods(request) and not self.ration.allows():
            return
        level = LogLevel.info if request.code >= 400 else _level(request)
        if level is LogLevel.info and not self._ration_of(request.principal).allows():
            return
        if level is LogLevel.info or not self.quiet:
            ms = round((self.clock.seconds() - request.began) * 1000, 1)
            self.logger.emit(level, _LINE, status=request.code, ms=ms, **request.facts())

    def log_gone(self, request: Request) -> None:
        """Write that the client left before it was answered; what it asked for may be done nevertheless."""
        level = _level(request)
        if level is LogLevel.info and not self._ration_of(request.principal).allows():
            return
        if level is LogLevel.info or not self.quiet:
            self.logger.emit(level, "{id} {method} {path} client-left {user}", **request.facts())

    def _ration_of(self, who: Principal | None) -> LogRateLimit:
        """Return what limits the lines of one user, or of all strangers together."""
        name = "" if who is None else who.counted_as
        known = self._rations.get(name)
        if known is None:
            what = f"more lines like these, of {name or 'strangers'}"
            known = self._rations[name] = LogRateLimit(self.logger, self.clock, _LINES_EACH, what)
        return known


def _comes_in_floods(request: Any) -> bool:
    return request.code >= 400 and (request.principal is None or request.code in LATER)


def _level(request: Request) -> LogLevel:
    """Return the level: debug also for uploads, since the database has them, and there may be a million."""
    daily = request.method in (b"GET", b"HEAD", b"OPTIONS") or is_upload(request)
    level: LogLevel = LogLevel.debug if daily else LogLevel.info
    return level
