"""Routes as rows of data: method, path, who may use it, its handler. Tests read these rows too."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from attrs import field, frozen
from twisted.internet.defer import Deferred

from dpip.api.http.answers import Answer, json_answer
from dpip.api.http.auth import Access
from dpip.api.http.batches import ResultsBody
from dpip.api.http.bodies import UploadBody
from dpip.api.http.forms import Fields
from dpip.api.http.streams import Streamed
from dpip.errors import Unauthenticated
from dpip.model import Principal

DEFAULT_PAGE, MAX_PAGE = 100, 1000
T = TypeVar("T")


@frozen
class ApiCall:
    """One request as its handler sees it: authenticated, allowed for its role, its body parsed.

    ``header(name)`` gives a header of the request or None; ``still_allowed()`` asks anew about its token.
    """

    id: str
    principal: Principal | None
    address: str
    header: Callable[[str], str | None] = field(repr=False)
    fields: Fields = field(repr=False)
    upload: UploadBody | None
    results: ResultsBody | None
    still_allowed: Callable[[], Deferred[Principal]] = field(repr=False)
    encrypted: bool = False  # on its whole way, as far as we know

    @property
    def by(self) -> Principal:
        """Who is asking; only a public route may find nobody here."""
        if self.principal is None:
            raise Unauthenticated("A token is needed here.")
        return self.principal

    @property
    def limit(self) -> int:
        """The length of the page that is asked for."""
        return self.fields.integer("limit", 1, MAX_PAGE) or DEFAULT_PAGE


Handler = Callable[..., Coroutine[Any, Any, Answer | Streamed]]


@frozen
class Route:
    """One route. ``path`` is as werkzeug has it: its ``<names>`` become arguments of the handler.

    With ``by_link`` browsers fetch it for an element of the page, so that the page's cookie alone opens it;
    only for what changes nothing.
    """

    method: str
    path: str
    access: Access
    handler: Handler
    by_link: bool = False


def page_answer(
    path: str,
    limit: int,
    found: Sequence[T],
    show: Callable[[T], object],
    asked_after: Callable[[T], Mapping[str, object]],
    is_cut: bool = False,
) -> Answer:
    """Answer with the first ``limit`` of what was found.

    If there is more, or (``is_cut``) there were fewer because they are long, a header Link leads to the next
    page (RFC 8288). Its query is ``asked_after(last)`` without what is None there, and ``limit``.
    """
    headers = {}
    if len(found) > limit or is_cut:
        asked = {**asked_after(found[:limit][-1]), "limit": limit}
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        headers = {"Link": f'<{path}?{query}>; rel="next"'}
    return json_answer([show(one) for one in found[:limit]], headers=headers)
