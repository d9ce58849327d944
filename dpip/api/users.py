"""Users: admins list, add and remove them; all users change their own passwords."""

from __future__ import annotations

from urllib.parse import quote

from attrs import define

from dpip.api.http.answers import Answer, json_answer
from dpip.api.http.auth import Access
from dpip.api.http.routes import ApiCall, Route
from dpip.api.views import user_json
from dpip.interfaces import IController
from dpip.model import Role


@define
class UserRoutes:
    controller: IController

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/users", Access.ADMINS, self.list_users),
            Route("POST", "/users", Access.ADMINS, self.add_user),
            Route("DELETE", "/users/<path:name>", Access.ADMINS, self.remove_user),
            Route("PUT", "/users/<path:name>/password", Access.USERS, self.set_password),
        ]

    async def list_users(self, call: ApiCall) -> Answer:
        """List the users by name, with the bytes that each keeps."""
        return json_answer([user_json(user) for user in await self.controller.users(call.by)])

    async def add_user(self, call: ApiCall) -> Answer:
        """Add ``user`` with ``password``, ``role`` (default ``user``), ``quota`` in bytes (default none)."""
        fields = call.fields
        fields.only("user", "password", "role", "quota")
        user = await self.controller.add_user(
            call.by,
            fields.required("user"),
            fields.required("password"),
            fields.choice("role", Role) or Role.USER,
            fields.integer("quota", 0),
        )
        return json_answer(user_json(user), 201, {"Location": f"/users/{quote(user.name)}"})

    async def remove_user(self, call: ApiCall, name: str) -> Answer:
        """Remove a user, with all tokens and workloads of that user."""
        await self.controller.remove_user(call.by, name)
        return json_answer({"user": name, "deleted": True})

    async def set_password(self, call: ApiCall, name: str) -> Answer:
        """Change the ``password``; one's own needs the ``old_password``. All tokens of the user die."""
        fields = call.fields
        fields.only("password", "old_password")
        await self.controller.set_password(
            call.by, name, fields.required("password"), fields.text("old_password")
        )
        return json_answer(
            {"user": name, "message": "The password is changed; all tokens of the user are dead."}
        )
