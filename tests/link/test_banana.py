"""The bounded decoder: everything our peers send goes through, nothing else does, and never for much."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport
from twisted.spread.banana import Banana
from twisted.trial.unittest import SynchronousTestCase

from dpip.link.banana import MAX_DEPTH, MAX_ITEMS, Decoder, ProtocolViolation

LIMIT = 4096

leaves = (
    st.integers(-(2**69), 2**69)
    | st.binary(max_size=100)
    | st.floats(allow_nan=False)
    | st.sampled_from([b"message", b"tuple", b"remote"])
)
expressions = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4), max_leaves=12)


def encoded(*expressions: Any) -> bytes:
    """As Twisted encodes them, vocabulary included."""
    banana = Banana()
    transport = StringTransport()
    banana.makeConnection(transport)
    banana.currentDialect = b"pb"
    transport.clear()
    for expression in expressions:
        banana.sendEncoded(expression)
    return transport.value()


def held(decoder: Decoder) -> int:
    return len(decoder._buffer)


class DecoderTests(SynchronousTestCase):
    @given(st.lists(expressions, min_size=1, max_size=4), st.data())
    @settings(deadline=None)
    def test_what_twisted_encodes_is_decoded_however_it_is_cut(self, sent: list[Any], data: Any) -> None:
        encodings = encoded(*sent)
        decoder, received = Decoder(LIMIT), []
        while encodings:
            size = data.draw(st.integers(1, len(encodings)))
            received += decoder.feed(encodings[:size])
            encodings = encodings[size:]
        self.assertEqual(received, sent)
        self.assertEqual(held(decoder), 0)

    @given(st.lists(st.binary(min_size=1, max_size=300), max_size=40))
    @settings(max_examples=300, deadline=None)
    def test_garbage_never_makes_it_hold_more_than_its_limit(self, chunks: list[bytes]) -> None:
        decoder = Decoder(LIMIT)
        try:
            for chunk in chunks:
                list(decoder.feed(chunk))
                self.assertLessEqual(held(decoder), LIMIT + 16)
                self.assertLessEqual(len(decoder._open), MAX_DEPTH)
        except ProtocolViolation:
            return

    def _refused(self, data: bytes) -> str:
        return str(self.assertRaises(ProtocolViolation, lambda: list(Decoder(LIMIT).feed(data))))

    def test_a_string_too_long_is_refused_at_its_length(self) -> None:
        decoder = Decoder(LIMIT)
        self.assertRaises(ProtocolViolation, lambda: list(decoder.feed(encoded(b"x" * (LIMIT + 1))[:3])))

    def test_strings_that_add_up_to_too_much_are_refused(self) -> None:
        self.assertIn("too large", self._refused(encoded([b"x" * 1000] * 5)))

    def test_the_last_of_them_is_refused_at_its_length(self) -> None:
        whole = encoded([b"x" * 1000] * 5)
        self.assertIn("too large", self._refused(whole[:-999]))

    def test_each_expression_has_the_whole_limit(self) -> None:
        decoder = Decoder(LIMIT)
        data = encoded(b"x" * (LIMIT - 10)) * 3
        self.assertEqual([len(item) for item in decoder.feed(data)], [LIMIT - 10] * 3)

    def test_too_many_items_are_refused(self) -> None:
        self.assertIn("too large", self._refused(encoded([[1, 2, 3, 4]] * (MAX_ITEMS // 4))))

    def test_a_list_that_announces_too_many_items_is_refused_before_they_come(self) -> None:
        self.assertIn("too long", self._refused(b"\x41\x80"))

    def test_lists_too_deep_are_refused(self) -> None:
        self.assertIn("too deep", self._refused(b"\x01\x80" * (MAX_DEPTH + 1)))

    def test_a_number_without_end_is_refused(self) -> None:
        self.assertIn("without end", self._refused(b"\x01" * 12))

    def test_unknown_types_and_unknown_words_are_refused(self) -> None:
        self.assertIn("not Perspective Broker", self._refused(b"\x01\xff"))
        self.assertIn("not Perspective Broker", self._refused(b"\x7f\x87"))

    def test_an_http_request_is_refused(self) -> None:
        self._refused(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b"\x80" * 5)
