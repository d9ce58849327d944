"""Logging in and out."""

from __future__ import annotations

from attrs import define

from dpip.api.answers import Answer, json_answer
from dpip.api.auth import Access, basic, bearer
from dpip.api.routes import Call, Route
from dpip.api.views import timestamp
from dpip.interfaces import IController


@define
class Sessions:
    controller: IController

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/login", Access.PUBLIC, self.login),
            Route("DELETE", "/logout", Access.USERS, self.logout),
        ]

    async def login(self, call: Call) -> Answer:
        """HTTP Basic in; ``user``, ``token``, ``expires_at`` out."""
        name, password = basic(call.header("Authorization"))
        token = await self.controller.login(name, password, call.address)
        return json_answer(
            {"user": token.user, "token": token.secret, "expires_at": timestamp(token.expires_at)}
        )

    async def logout(self, call: Call) -> Answer:
        """The token is dead when the answer comes."""
        await self.controller.logout(bearer(call.header("Authorization")))
        return json_answer(
            {"logout_message": f"{call.by.name} is logged out; the token is not valid any more."}
        )
