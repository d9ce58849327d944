"""POST /workloads."""

from __future__ import annotations

import json

from tests.api.fixture import ApiTest, Form


class CreateWorkloadTests(ApiTest):
    async def test_with_no_body_at_all_it_is_grayscale_and_numbers_frames(self) -> None:
        response = await self.request("POST", "/workloads", self.user)
        self.assertEqual(response.status, 201)
        made = response.json()
        self.assertEqual(response.headers["location"], f"/workloads/{made['workload_id']}")
        self.assertEqual(made["filter"], "grayscale")
        self.assertEqual(made["workload_name"], "grayscale 2027-01-15 08:00:00")
        self.assertEqual(made["numbering"], "frames")
        self.assertEqual(made["status"], "scheduling")
        self.assertEqual(made["running_jobs"], 0)
        self.assertEqual(made["filtered_images"], [])

    async def test_an_empty_body_is_no_body_whatever_its_type(self) -> None:
        for kind in ("application/json", "application/x-www-form-urlencoded"):
            response = await self.request("POST", "/workloads", self.user, b"", {"Content-Type": kind})
            self.assertEqual((response.status, response.json()["numbering"]), (201, "frames"))
        connection = await self.connect()
        head = f"POST /workloads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.user}\r\n"
        connection.send(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        self.assertEqual((await connection.response()).json()["filter"], "grayscale")

    async def test_an_object_without_a_filter_is_refused(self) -> None:
        problem = self.assert_problem(
            await self.send_json("POST", "/workloads", self.user, {}), 422, "bad-parameter"
        )
        self.assertIn("grayscale", problem["available"])
        response = await self.send_multipart("POST", "/workloads", self.user, Form())
        self.assert_problem(response, 422, "bad-parameter")

    async def test_json_urlencoded_and_multipart_say_the_same(self) -> None:
        asked = {"filter": "blur", "workload_name": "n", "params": {"sigma": 2}, "tags": ["a", "b"]}
        form = Form().field("filter", "blur").field("workload_name", "n").field("params", '{"sigma": 2}')
        answers = [
            await self.send_json("POST", "/workloads", self.user, asked),
            await self.send_form(
                "POST", "/workloads", self.user, {**asked, "params": '{"sigma": 2}', "tags": "a, b"}
            ),
            await self.send_form(
                "POST", "/workloads", self.user, {**asked, "params": '{"sigma": 2}', "tags": ["a", "b"]}
            ),
            await self.send_multipart("POST", "/workloads", self.user, form.field("tags", '["a", "b"]')),
        ]
        for answer in answers:
            self.assertEqual(answer.status, 201, answer.body)
            made = answer.json()
            self.assertEqual(made["params"], {"sigma": 2.0})
            self.assertEqual((made["workload_name"], made["tags"]), ("n", ["a", "b"]))
            self.assertEqual(made["numbering"], "ids")

    async def test_a_chain_of_steps_instead_of_a_filter(self) -> None:
        steps = [{"name": "grayscale"}, {"name": "blur", "sigma": 3}]
        answers = [
            await self.send_json("POST", "/workloads", self.user, {"steps": steps}),
            await self.send_form("POST", "/workloads", self.user, {"steps": json.dumps(steps)}),
        ]
        for answer in answers:
            self.assertEqual(answer.status, 201, answer.body)
            made = answer.json()
            self.assertEqual(made["filter"], "grayscale+blur")
            self.assertEqual(made["steps"], [{"name": "grayscale"}, {"name": "blur", "sigma": 3.0}])

    async def test_empty_and_null_text_in_a_form_is_as_if_it_was_not_given(self) -> None:
        for nothing in ("", "null", '""'):
            asked = {"filter": "grayscale", "params": nothing, "steps": nothing, "output": nothing}
            answer = await self.send_form("POST", "/workloads", self.user, asked)
            self.assertEqual((answer.status, answer.json()["params"]), (201, {}), nothing)

    async def test_a_bad_step_is_refused_by_its_number(self) -> None:
        for steps, number in (
            ([{"name": "blur"}, {"name": "blurr"}], 1),
            ([{"name": "blur", "sigma": 0}], 0),
        ):
            answer = await self.send_json("POST", "/workloads", self.user, {"steps": steps})
            self.assertEqual((answer.status, answer.json()["step"]), (422, number))
        for asked in (
            {"filter": "blur", "steps": [{"name": "grayscale"}]},
            {"params": {"sigma": 1}, "steps": [{"name": "grayscale"}]},
            {"steps": {"name": "grayscale"}},
            {"steps": ["grayscale"]},
        ):
            self.assert_problem(
                await self.send_json("POST", "/workloads", self.user, asked), 422, "bad-parameter"
            )

    async def test_output_and_numbering_are_taken(self) -> None:
        asked = {"filter": "grayscale", "numbering": "frames", "output": {"format": "jpeg", "quality": 80}}
        made = (await self.send_json("POST", "/workloads", self.user, asked)).json()
        self.assertEqual(made["numbering"], "frames")
        self.assertEqual(made["output"]["quality"], 80)

    async def test_output_alone_converts(self) -> None:
        for asked in ({"output": {"format": "webp"}}, {"steps": [], "output": {"max_bytes": 500}}):
            made = (await self.send_json("POST", "/workloads", self.user, asked)).json()
            self.assertEqual((made["filter"], made["steps"]), ("convert", [{"name": "convert"}]))
            again = await self.send_json("POST", "/workloads", self.user, made)
            self.assertEqual(again.status, 201)

    async def test_what_is_not_acceptable_is_named(self) -> None:
        refused = {
            "unknown-filter": [{"filter": "blurr"}],
            "bad-parameter": [
                {"filter": "blur", "params": {"sigma": -1}},
                {"filter": "blur", "params": {"sgima": 1}},
                {"filter": "blur", "params": [1]},
                {"filter": "blur", "params": "sigma"},
                {"filter": 7},
                {"filter": ["blur"]},
                {"filter": "blur", "output": {"quality": 1000}},
                {"filter": "blur", "numbering": "roman"},
                {"filter": "blur", "tags": "a b"},
                {"filter": "blur", "tags": [1]},
                {"filter": "blur", "tags": {"a": 1}},
                {"filter": "blur", "tags": [str(n) for n in range(17)]},
                {"filter": "blur", "tags": ["x" * 65]},
                {"filter": "blur", "fliter": "blur"},
                {"filter": "blur", "workload_name": "x" * 300},
                {"filter": "blur", "workload_name": ""},
                {"filter": "blur", "workload_name": "  "},
                {"filter": "blur", "workload_name": "a\0b"},
                {"filter": "blur", "workload_name": "a\nb"},
                {"filter": "blur", "workload_name": 5},
            ],
        }
        for code, bodies in refused.items():
            for asked in bodies:
                with self.subTest(asked=asked):
                    response = await self.send_json("POST", "/workloads", self.user, asked)
                    self.assert_problem(response, 422, code)
        self.assertEqual((await self.get("/workloads", self.user)).json(), [])

    async def test_an_unknown_filter_lists_what_exists(self) -> None:
        response = await self.send_json("POST", "/workloads", self.user, {"filter": "nope"})
        self.assertIn("blur", self.assert_problem(response, 422, "unknown-filter")["available"])

    async def test_names_are_data(self) -> None:
        for name in ("../../etc", "🏔️ Zoë’s film", "'; DROP TABLE users", "x" * 200, "<script>", "a/b\\c"):
            made = await self.send_json(
                "POST", "/workloads", self.user, {"filter": "blur", "workload_name": name}
            )
            self.assertEqual(made.status, 201, made.body)
            self.assertEqual(made.json()["workload_name"], name)

    async def test_two_of_one_name_are_two(self) -> None:
        self.assertNotEqual(
            await self.new_workload(workload_name="n"), await self.new_workload(workload_name="n")
        )

    async def test_members_of_our_own_answers_are_passed_over(self) -> None:
        made = (await self.request("POST", "/workloads", self.user)).json()
        again = await self.send_json("POST", "/workloads", self.user, made)
        self.assertEqual(again.status, 201, again.body)
        self.assertNotEqual(again.json()["workload_id"], made["workload_id"])

    async def test_malformed_bodies(self) -> None:
        json_type = "application/json"
        malformed = [
            (json_type, b"{"),
            (json_type, b"[]"),
            (json_type, b'"blur"'),
            (json_type, b"null"),
            (json_type, b'{"filter": NaN}'),
            (json_type, b'{"filter": "\\ud800"}'),
            (json_type, b'{"filter": "\xff"}'),
            (json_type, b"[" * 100_000),
            (json_type, b'{"a": ' + b"9" * 5000 + b"}"),
            ("application/x-www-form-urlencoded", b"filter=%ff"),
            ("application/x-www-form-urlencoded", b"a=1&" * 101 + b"b=2"),
            ("multipart/form-data", b"x"),
            ("multipart/form-data; boundary=f", b"no boundary here"),
            ("multipart/form-data; boundary=f", b"--f\r\nContent-Disposition: form-data; name=a\r\n\r\nx"),
            ("multipart/form-data; boundary=f", b"--f\r\nX: y\r\n\r\nx\r\n--f--\r\n"),
        ]
        for kind, body in malformed:
            with self.subTest(body=body[:60]):
                response = await self.request("POST", "/workloads", self.user, body, {"Content-Type": kind})
                self.assert_problem(response, 400, "malformed-request")

    async def test_other_types_of_body_are_refused(self) -> None:
        for kind in ("text/plain", "application/xml", ""):
            response = await self.request("POST", "/workloads", self.user, b"x=1", {"Content-Type": kind})
            self.assert_problem(response, 415, "unsupported-media-type")
        compressed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        response = await self.request("POST", "/workloads", self.user, b"x", compressed)
        self.assert_problem(response, 415, "unsupported-media-type")

    async def test_a_file_does_not_belong_here(self) -> None:
        form = Form().field("filter", "blur").file("data", "a.png", b"x")
        response = await self.send_multipart("POST", "/workloads", self.user, form)
        self.assertIn("POST /images", self.assert_problem(response, 400, "malformed-request")["detail"])

    async def test_a_large_body_is_refused_by_its_length_and_as_it_grows(self) -> None:
        too_long = json.dumps({"filter": "blur", "workload_name": "x" * self.limits.small_body}).encode()
        response = await self.request(
            "POST", "/workloads", self.user, too_long, {"Content-Type": "application/json"}
        )
        self.assert_problem(response, 413, "too-large")
        connection = await self.connect()
        head = f"POST /workloads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.user}\r\n"
        connection.send(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        connection.send(b"%x\r\n%b\r\n" % (len(too_long), too_long))
        self.assert_problem(await connection.response(), 413, "too-large")

    async def test_workers_make_no_workloads(self) -> None:
        worker = self.controller.join_worker("w")
        self.assert_problem(await self.request("POST", "/workloads", worker), 403, "forbidden")
        self.assert_problem(await self.request("POST", "/workloads"), 401, "not-logged-in")
