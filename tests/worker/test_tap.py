"""The command line of ``twistd dpip-worker``, and where it finds the join token."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from dpip.link.connector import NoToken, controller_address, controller_endpoint, token_reader
from dpip.link.join_token import TOKEN_FILE, JoinToken
from dpip.worker.tap import WorkerOptions, unique_name

TOKEN = "ab" * 32 + "." + "s" * 32


def parsed(*arguments: str) -> WorkerOptions:
    options = WorkerOptions()
    options.parseOptions(list(arguments))
    return options


class OptionsTests(SynchronousTestCase):
    def test_the_controller_is_needed(self) -> None:
        error = self.assertRaises(usage.UsageError, parsed)
        self.assertIn("--controller", str(error))

    def test_all_of_them(self) -> None:
        options = parsed(
            "--controller", "host:1", "--worker-name", "anna", "--tags", "gpu, fast,gpu", "--slots", "3",
            "--state-dir", "here", "--join-token-file", "t", "--spool-dir", "s",
        )  # fmt: skip
        self.assertEqual((options["worker-name"], options["slots"]), ("anna", 3))
        self.assertEqual(options["tags"], ("gpu", "fast"))
        for option, name in (("state-dir", "here"), ("join-token-file", "t"), ("spool-dir", "s")):
            self.assertEqual(options[option], Path.cwd() / name)

    def test_what_is_left_out(self) -> None:
        options = parsed("--controller", "host")
        self.assertEqual((options["tags"], options["slots"], options["spool-dir"]), ((), None, None))
        self.assertNotEqual(options["worker-name"], parsed("--controller", "host")["worker-name"])

    def test_what_makes_no_sense_is_said(self) -> None:
        for option, value in (
            ("--slots", "0"), ("--slots", "-1"), ("--slots", "x"), ("--slots", "5000"),
            ("--tags", "a b"), ("--tags", "x" * 65), ("--worker-name", ""), ("--worker-name", "a/b"),
            ("--worker-name", "n" * 65), ("--worker-name", "a\nb"), ("--controller", "host:70000"),
            ("--controller", "a b"), ("--controller", "nonsense:x=1"),
        ):  # fmt: skip
            with self.subTest(option=option, value=value):
                self.assertRaises(usage.UsageError, parsed, "--controller", "host", option, value)

    def test_made_up_names_are_fit_to_travel(self) -> None:
        for _ in range(20):
            self.assertRegex(unique_name(), r"^[\w.@+-]{1,64}$")

    def test_neither_options_nor_building_import_numba(self) -> None:
        program = (
            "import sys\n"
            "from dpip.worker import tap\n"
            "options = tap.Options()\n"
            "options.parseOptions(['--controller', 'localhost:1'])\n"
            "tap.makeService(options)\n"
            "sys.exit('numba' in sys.modules or 'numpy' in sys.modules or 'PIL' in sys.modules)\n"
        )
        self.assertEqual(subprocess.run([sys.executable, "-c", program], check=False).returncode, 0)


class AddressTests(SynchronousTestCase):
    def test_hosts_and_ports(self) -> None:
        for text, host, port in (
            ("example.org", "example.org", 8787),
            ("example.org:99", "example.org", 99),
            ("127.0.0.1:99", "127.0.0.1", 99),
            ("[::1]:99", "::1", 99),
            ("[::1]", "::1", 8787),
        ):
            endpoint = controller_endpoint(MemoryReactorClock(), text)
            self.assertIsInstance(endpoint, HostnameEndpoint)
            self.assertEqual((endpoint._hostText, endpoint._port), (host, port))  # type: ignore[attr-defined]

    def test_several_controllers(self) -> None:
        self.assertEqual(controller_address("a, b:99"), "a,b:99")
        self.assertRaises(ValueError, controller_address, "a,b:99999")
        endpoint = controller_endpoint(MemoryReactorClock(), "a,b:99")
        found = [(each._hostText, each._port) for each in endpoint.endpoints]  # type: ignore[attr-defined]
        self.assertEqual(found, [("a", 8787), ("b", 99)])

    def test_endpoint_strings(self) -> None:
        self.assertIsInstance(controller_endpoint(MemoryReactorClock(), "unix:/run/dpip"), UNIXClientEndpoint)


class TokenTests(SynchronousTestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = Path(temporary.name)
        self.token = JoinToken.parse(TOKEN)

    def write(self, name: str, text: str = TOKEN) -> Path:
        path = self.directory / name
        path.write_text(text)
        return path

    def test_a_named_file_comes_first(self) -> None:
        self.write(TOKEN_FILE, "nonsense")
        read = token_reader(self.write("named"), {"DPIP_JOIN_TOKEN": "nonsense"}, self.directory)
        self.assertEqual(read(), self.token)

    def test_then_the_environment(self) -> None:
        self.write(TOKEN_FILE, "nonsense")
        self.assertEqual(token_reader(None, {"DPIP_JOIN_TOKEN": TOKEN}, self.directory)(), self.token)

    def test_then_the_state_directory_read_anew_each_time(self) -> None:
        read = token_reader(None, {}, self.directory)
        self.assertIn("There is no join token", str(self.assertRaises(NoToken, read)))
        self.write(TOKEN_FILE, TOKEN + "\n")
        self.assertEqual(read(), self.token)

    def test_what_cannot_be_read_is_said_and_not_shown(self) -> None:
        (self.directory / "directory").mkdir()
        secret = "the secret that was mistyped"
        for file, environment in (
            (self.write("bad", secret), {}),
            (self.directory / "directory", {}),
            (None, {"DPIP_JOIN_TOKEN": secret}),
        ):
            error = self.assertRaises(NoToken, token_reader(file, environment, self.directory))
            self.assertNotIn(secret, str(error))
            self.assertIn("cannot be read from", str(error))
