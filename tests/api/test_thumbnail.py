"""GET /images/{id}/thumbnail."""

from __future__ import annotations

from tests.api.fixture import ApiTest, picture

SMALL = b"\xff\xd8\xff small"


class ThumbnailTests(ApiTest):
    """The one that a worker makes is ``SMALL``."""

    def with_worker(self, *image_ids: str) -> None:
        for image_id in image_ids:
            self.controller.thumbnails[image_id] = SMALL

    async def an_original(self) -> tuple[str, str]:
        workload_id = self.stored_workload()
        return workload_id, (await self.upload(workload_id, name="cat.png")).json()["image_id"]

    async def test_of_an_original_and_of_a_result(self) -> None:
        workload_id, original = await self.an_original()
        result = await self.finish_job("w", picture(shade=9))
        self.with_worker(original, result)
        for path in (
            f"/images/{original}/thumbnail",
            f"/images/{result}/thumbnail",
            f"/images/0/thumbnail?workload_id={workload_id}",
            f"/images/0/thumbnail?workload_id={workload_id}&type=original",
        ):
            response = await self.get(path, self.user)
            self.assertEqual((response.status, response.body), (200, SMALL), path)
            self.assertEqual(response.headers["content-type"], "image/jpeg")
            self.assertEqual(response.headers["content-disposition"], 'inline; filename="cat.jpg"')
            self.assertEqual(response.headers["content-security-policy"], "default-src 'none'; sandbox")
            self.assertEqual(response.headers["cache-control"], "private, max-age=3600")

    async def test_one_that_the_client_has_is_not_sent_again(self) -> None:
        _, original = await self.an_original()
        self.with_worker(original)
        etag = (await self.get(f"/images/{original}/thumbnail", self.user)).headers["etag"]
        again = await self.get(f"/images/{original}/thumbnail", self.user, If_None_Match=etag)
        self.assertEqual((again.status, again.body), (304, b""))

    async def test_while_there_is_no_worker(self) -> None:
        _, original = await self.an_original()
        response = await self.get(f"/images/{original}/thumbnail", self.user)
        self.assert_problem(response, 503, "busy")
        self.assertEqual(response.headers["retry-after"], "5")

    async def test_of_what_is_not_there_or_not_ones_own(self) -> None:
        _, original = await self.an_original()
        self.with_worker(original)
        self.new_user("bob")
        bob = self.token_of("bob", "password-of-bob")
        self.assert_problem(await self.get(f"/images/{original}/thumbnail", bob), 404, "not-found")
        self.assert_problem(await self.get("/images/nope/thumbnail", self.user), 404, "not-found")
        self.assert_problem(await self.get("/images/0/thumbnail", self.user), 400, "malformed-request")
        worker = self.controller.join_worker("w")
        self.assert_problem(await self.get(f"/images/{original}/thumbnail", worker), 403, "forbidden")
