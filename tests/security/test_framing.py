"""No two ways to read a request: each is answered rightly, or refused and the connection closed."""

from __future__ import annotations

from tests.api.client import Response, split_response
from tests.api.fixture import ApiTest
from tests.api.wire import Wire
from tests.security.framing import Case, cases

_CANARY = b"GET /canary HTTP/1.1\r\nHost: a\r\n\r\n"


class FramingTests(ApiTest):
    def answers(self, case: Case) -> tuple[list[Response], bool]:
        """To the case and to a request that follows it on the same connection; and whether it was closed."""
        wire = Wire(self.site)
        wire.send(case.data)
        if wire.connected and not wire.half_closed:
            wire.send(_CANARY)
        self.clock.advance(0)
        answers, rest = [], wire.value()
        while rest:
            answer, rest = split_response(rest)
            if answer is None:
                break
            answers.append(answer)
        closed = wire.half_closed or not wire.connected
        if wire.connected:
            wire.hang_up()
        return answers, closed

    def complaint(self, case: Case) -> str:
        """What is wrong with the answer to the case; nothing when it is right."""
        answers, closed = self.answers(case)
        statuses = [answer.status for answer in answers]
        if (
            closed
            and len(statuses) <= 1
            and all(400 <= status < 500 or status in (501, 505) for status in statuses)
        ):
            return ""  # refused, and nothing that followed was read
        if not case.statuses:
            return f"not refused: {statuses}, {'closed' if closed else 'open'}"
        if len(statuses) != 2 or statuses[0] not in case.statuses or statuses[1] != 404:
            return f"answered by {statuses}, {'closed' if closed else 'open'}"
        return ""

    def test_every_way_to_say_where_a_request_ends(self) -> None:
        made = list(cases(self.user))
        self.assertGreater(len(made), 200)
        wrong = [f"{case.name}: {complaint}" for case in made if (complaint := self.complaint(case))]
        self.assertEqual(wrong, [], "\n".join(wrong))

    def test_an_incomplete_request_gets_no_answer(self) -> None:
        whole = next(case for case in cases(self.user) if case.statuses)
        wire = Wire(self.site)
        wire.send(whole.data[:-1])
        self.assertEqual((wire.value(), wire.connected), (b"", True))
        wire.send(whole.data[-1:])
        self.assertIn(wire.response().status, whole.statuses)
