"""Where to listen, as people write it."""

from twisted.trial.unittest import TestCase

from dpip.runtime.addresses import ListenAddress, parse


class AddressTests(TestCase):
    def test_host_and_port(self) -> None:
        self.assertEqual(
            parse("127.0.0.1:8080"), ListenAddress("tcp:8080:interface=127.0.0.1:backlog=1024", True, False)
        )
        self.assertEqual(
            parse("10.0.0.1:80"), ListenAddress("tcp:80:interface=10.0.0.1:backlog=1024", False, False)
        )
        self.assertEqual(
            parse("localhost:0"), ListenAddress("tcp:0:interface=localhost:backlog=1024", True, False)
        )

    def test_a_bare_port_is_on_loopback_and_a_colon_alone_opens_every_interface(self) -> None:
        self.assertEqual(
            parse("8080"), ListenAddress("tcp:8080:interface=127.0.0.1:backlog=1024", True, False)
        )
        self.assertEqual(parse(":8080"), ListenAddress("tcp:8080:backlog=1024", False, False))

    def test_ipv6(self) -> None:
        self.assertEqual(
            parse("[::1]:8080"), ListenAddress(r"tcp6:8080:interface=\:\:1:backlog=1024", True, False)
        )

    def test_endpoint_strings(self) -> None:
        self.assertEqual(parse("tcp:8080"), ListenAddress("tcp:8080", False, False))
        self.assertEqual(parse(r"tcp6:8080:interface=\:\:1").loopback, True)
        self.assertTrue(parse("ssl:8443:privateKey=key.pem").tls)
        self.assertTrue(parse("unix:/run/dpip.sock").loopback)

    def test_nonsense_is_refused_with_its_own_text(self) -> None:
        for text in ("", "http://x", "127.0.0.1:99999", "a b:80", "8080:"):
            with self.assertRaises(ValueError) as refused:
                parse(text)
            self.assertIn(repr(text), str(refused.exception))
