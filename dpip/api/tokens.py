"""Tokens with names, for programs. Users make, list and revoke their own, an admin everybody's."""

from __future__ import annotations

from urllib.parse import quote

from attrs import define

from dpip.api.http.answers import Answer, json_answer
from dpip.api.http.auth import Access
from dpip.api.http.routes import ApiCall, Route
from dpip.api.views import token_json
from dpip.interfaces import IController

_DAY = 24 * 3600.0
DEFAULT_DAYS, MAX_DAYS = 90, 3650


@define
class TokenRoutes:
    controller: IController

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/tokens", Access.USERS, self.list_tokens),
            Route("POST", "/tokens", Access.USERS, self.add_token),
            Route("DELETE", "/tokens/<token_id>", Access.USERS, self.revoke_token),
        ]

    async def list_tokens(self, call: ApiCall) -> Answer:
        """List tokens, never their secrets: those with names first, then those of logins, the newest first.

        There are at most ``limit``. An admin sees everybody's, or those of ``user``.
        """
        call.fields.only("user", "limit")
        found = await self.controller.tokens(call.by, call.fields.text("user"), call.limit)
        return json_answer([token_json(token) for token in found])

    async def add_token(self, call: ApiCall) -> Answer:
        """Make a token with a ``name`` for ``days`` (default 90); an admin may say for which ``user``.

        Only this answer has the ``token`` itself.
        """
        fields = call.fields
        fields.only("name", "days", "user")
        days = fields.integer("days", 1, MAX_DAYS) or DEFAULT_DAYS
        record, token = await self.controller.add_token(
            call.by, fields.text("user"), fields.required("name"), days * _DAY
        )
        answer = {**token_json(record), "token": token.secret}
        return json_answer(answer, 201, {"Location": f"/tokens/{quote(record.id)}"})

    async def revoke_token(self, call: ApiCall, token_id: str) -> Answer:
        """Revoke a token. It is dead when the answer comes."""
        record = await self.controller.revoke_token(call.by, token_id)
        return json_answer({**token_json(record), "revoked": True})
