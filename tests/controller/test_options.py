"""The controller's command line: safe by default, and clear about what it refuses."""

import os
from pathlib import Path

from twisted.python import usage
from twisted.trial.unittest import TestCase

from dpip.controller.options import ControllerOptions, megapixels
from dpip.runtime.addresses import parse
from dpip.runtime.options import certificate_hosts, size
from dpip.tap import ServiceOptions as EmbeddedOptions


class OptionsTests(TestCase):
    def parsed(self, *arguments: str, kind: type[usage.Options] = ControllerOptions) -> usage.Options:
        options = kind()
        options.parseOptions(arguments)
        return options

    def test_with_no_option_everything_is_on_loopback_and_has_its_type(self) -> None:
        for kind in (ControllerOptions, EmbeddedOptions):
            options = self.parsed(kind=kind)
            self.assertEqual(
                (options["http"], options["pb"]), (parse("127.0.0.1:8080"), parse("127.0.0.1:8787"))
            )
            self.assertEqual((options["max-upload"], options["disk-floor"]), (2**30, 2**30))
            self.assertEqual((options["max-megapixels"], options["job-seconds"]), (100_000_000, 120.0))
            self.assertIsInstance(options["state-dir"], Path)

    def test_a_password_of_the_database_is_never_on_the_command_line(self) -> None:
        plain = "postgresql://dpip@db/dpip?sslmode=verify-full"
        self.assertEqual(self.parsed("--database", plain)["database"], plain)
        for url in ("postgresql://dpip:secret@db/dpip", "postgresql://db/dpip?password=secret", "mysql://db"):
            refused = self.assertRaises(usage.UsageError, self.parsed, "--database", url)
            self.assertNotIn("secret", str(refused))

    def test_the_environment_may_name_the_database_with_its_password(self) -> None:
        self.patch(os, "environ", {**os.environ, "DPIP_DATABASE": "postgresql://dpip:secret@db/dpip"})
        self.assertEqual(self.parsed()["database"], "postgresql://dpip:secret@db/dpip")
        self.patch(os, "environ", {**os.environ, "DPIP_DATABASE": "db"})
        self.assertRaises(usage.UsageError, self.parsed)

    def test_sizes_as_people_write_them(self) -> None:
        self.assertEqual([size(text) for text in ("0", "10k", "1.5M", "2GiB", "3 T")],
                         [0, 10 * 2**10, 3 * 2**19, 2 * 2**30, 3 * 2**40])  # fmt: skip
        self.assertEqual(megapixels("0.5"), 500_000)
        for nonsense in ("", "much", "-1M", "1X"):
            self.assertRaises(ValueError, size, nonsense)

    def test_the_certificate_is_for_all_that_clients_may_say(self) -> None:
        tls = ("--http", "10.0.0.1:8080", "--http-tls")
        self.assertEqual(certificate_hosts(self.parsed(*tls)), ("10.0.0.1",))
        more = ("--api-url", "https://images.example:444/", "--tls-names", "a.example, 10.0.0.9,10.0.0.1")
        names = ("10.0.0.1", "images.example", "a.example", "10.0.0.9")
        self.assertEqual(certificate_hosts(self.parsed(*tls, *more)), names)
        everywhere = self.parsed("--http", ":8080", "--http-tls")
        self.assertIn("127.0.0.1", certificate_hosts(everywhere))
        children = everywhere.child_arguments(0, "127.0.0.1:1", 3)  # type: ignore[attr-defined]
        self.assertIn(",".join(certificate_hosts(everywhere)), children)
        self.assertRaises(usage.UsageError, self.parsed, *tls, "--tls-names", "not a name")

    def test_a_network_needs_tls_or_a_proxy(self) -> None:
        refused = self.assertRaises(usage.UsageError, self.parsed, "--http", ":8080")
        self.assertIn("--http-tls", str(refused))
        self.assertIn("--behind-proxy", str(refused))
        self.parsed("--http", ":8080", "--http-tls")
        self.parsed("--http", "10.0.0.1:8080", "--behind-proxy")
        self.parsed("--http", "ssl:8443:privateKey=key.pem")

    def test_what_makes_no_sense_is_a_usage_error(self) -> None:
        for arguments in (
            ("--http", "nonsense"),
            ("--max-upload", "lots"),
            ("--keep-days", "0"),
            ("--max-megapixels", "-3"),
            ("--http", "ssl:8443", "--http-tls"),
        ):
            self.assertRaises(usage.UsageError, self.parsed, *arguments)
