"""Login and logout."""

from __future__ import annotations

from attrs import define
from twisted.web.http import datetimeToString

from dpip.api.http.answers import Answer, json_answer
from dpip.api.http.auth import PAGE_HEADER, Access, basic, secret_of, session_name
from dpip.api.http.routes import ApiCall, Route
from dpip.api.views import timestamp
from dpip.errors import BadCredentials, Unauthenticated
from dpip.interfaces import IController
from dpip.model import Token


class PageLoginRefused(Unauthenticated):
    """This is BadCredentials without the challenge that makes a browser open a dialog of its own."""

    code = BadCredentials.code
    title = BadCredentials.title


@define
class SessionRoutes:
    controller: IController

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/login", Access.PUBLIC, self.login),
            Route("DELETE", "/logout", Access.USERS, self.logout),
        ]

    async def login(self, call: ApiCall) -> Answer:
        """Log in with Basic auth; returns a token.

        The answer has ``user``, ``token`` and ``expires_at``.

        The page gets the token as a cookie that its scripts cannot read, and not in the body.
        """
        if not call.header(PAGE_HEADER):
            token = await self._token(call)
            return json_answer({**_facts(token), "token": token.secret})
        try:
            token = await self._token(call)
        except BadCredentials as error:
            raise PageLoginRefused(error.detail) from None
        return json_answer(_facts(token), headers={"Set-Cookie": _cookie(token, call.encrypted)})

    async def logout(self, call: ApiCall) -> Answer:
        """Log out. The token is dead when the answer comes."""
        await self.controller.logout(secret_of(call.header, call.encrypted))
        message = f"{call.by.name} is logged out; the token is not valid any more."
        return json_answer({"logout_message": message}, headers={"Set-Cookie": _forgotten(call.encrypted)})

    async def _token(self, call: ApiCall) -> Token:
        name, password = basic(call.header("Authorization"))
        return await self.controller.login(name, password, call.address)


def _facts(token: Token) -> dict[str, str]:
    return {"user": token.user, "expires_at": timestamp(token.expires_at)}


def _rules(encrypted: bool) -> str:
    """``Secure`` is left out without TLS: a browser would drop the cookie."""
    return f"Path=/; HttpOnly; SameSite=Strict{'; Secure' if encrypted else ''}"


def _cookie(token: Token, encrypted: bool) -> str:
    """Return a cookie that lives as long as the token."""
    expires = datetimeToString(token.expires_at).decode()
    return f"{session_name(encrypted)}={token.secret}; {_rules(encrypted)}; Expires={expires}"


def _forgotten(encrypted: bool) -> str:
    return f"{session_name(encrypted)}=; {_rules(encrypted)}; Max-Age=0"
