"""Why there was no answer, in words."""

from __future__ import annotations

from twisted.internet.error import ConnectionLost, DNSLookupError
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import ResponseFailed

from dpip.http.failures import in_words


class FailureWordsTests(TestCase):
    def test_nested_reasons_are_found(self) -> None:
        inner = ResponseFailed([Failure(ConnectionLost())])
        self.assertEqual(in_words(ResponseFailed([Failure(inner)])), "the connection broke")

    def test_names_without_an_address(self) -> None:
        self.assertEqual(in_words(DNSLookupError("x")), "there is no machine of that name")
