"""Every route for every role: made from the route table, so that a new route cannot go without a rule."""

from __future__ import annotations

from dpip.api.auth import Access
from tests.api.fixture import ApiTest

PUBLIC = {("POST", "/login"), ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/"), ("GET", "/page/x/x")}
PUBLIC |= {("GET", "/openapi.json"), ("GET", "/docs")}
ADMINS = {
    ("GET", "/users"),
    ("POST", "/users"),
    ("DELETE", "/users/x"),
    ("GET", "/workers"),
    ("GET", "/workers/x/history"),
    ("POST", "/workers/x/drain"),
    ("GET", "/activity"),
    ("GET", "/metrics"),
}
WORKERS_TOO = {("POST", "/images"), ("GET", "/images/x"), ("GET", "/filters")}


class RolesTests(ApiTest):
    def rows(self) -> list[tuple[str, str, Access]]:
        return [(r.method, _example(r.path), r.access) for r in self.rows_of_the_api()]

    def test_the_rule_of_each_route(self) -> None:
        for method, path, access in self.rows():
            row = method, path
            expected = (
                Access.PUBLIC
                if row in PUBLIC
                else Access.ADMINS
                if row in ADMINS
                else Access.ANY
                if row in WORKERS_TOO
                else Access.USERS
            )
            self.assertEqual(access, expected, row)

    async def test_each_rule_is_kept(self) -> None:
        worker = self.controller.join_worker("w")
        for method, path, access in self.rows():
            for role, token in (("user", "user"), ("admin", "admin"), ("worker", worker)):
                with self.subTest(method=method, path=path, role=role):
                    token = self.token_of("ann", "password-of-ann") if token == "user" else token
                    token = self.token_of("admin", "password") if token == "admin" else token
                    response = await self.request(method, path, token)
                    if access is not Access.PUBLIC and role not in access.value:
                        self.assert_problem(response, 403, "forbidden")
                    else:
                        self.assertNotEqual(response.status, 403, response.body)
            for token in (None, "dead"):
                response = await self.request(method, path, token)
                if access is Access.PUBLIC:
                    self.assertNotIn(b"not-logged-in", response.body)
                else:
                    self.assert_problem(response, 401, "not-logged-in")


def _example(path: str) -> str:
    for name in ("<workload_id>", "<reference>", "<path:name>", "<token_id>", "<version>", "<name>"):
        path = path.replace(name, "x")
    return path
