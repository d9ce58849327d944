"""Hostile bytes at the workers' port of a real controller, by TLS: it serves on, and says little."""

from __future__ import annotations

import socket
import ssl
from random import Random

from twisted.trial.unittest import TestCase

from dpip.runtime.logs import LINES_PER_MINUTE
from tests.frames import encoded
from tests.security.generated import changed
from tests.security.recorded import sessions
from tests.system.plain_client import PlainClient
from tests.system.processes import PASSWORD, Cluster

_INPUTS = 150


class WorkersPortTests(TestCase):
    def test_hostile_bytes_keep_nobody_from_being_served(self) -> None:
        random, recorded = Random(5), [session.whole for session in sessions()]
        with Cluster() as cluster:
            controller = cluster.start_controller()
            before = controller.log.count("\n")
            for number in range(_INPUTS):
                data = changed(random, random.choice(recorded), recorded)
                _say(cluster.pb, data, encrypted=number % 3 > 0)
            worker = cluster.start_worker("w1")
            worker.wait_for_log("Joined")
            client = PlainClient(cluster.http)
            client.login("admin", PASSWORD)
            self.assertEqual(client.upload(client.create_workload(), "0.png", encoded(1, 64, 48)).status, 201)
            log = controller.log
        self.assertNotIn("Traceback", log)
        lines = log.count("\n") - before
        self.assertTrue(0 < lines < 3 * LINES_PER_MINUTE, lines)  # of at most two minutes, and the worker's


def _say(port: int, data: bytes, encrypted: bool) -> None:
    """Until it is answered, or hung up on."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        try:
            client = trusting.wrap_socket(plain) if encrypted else plain
            client.sendall(data)
            client.recv(65536)
            client.close()
        except OSError:
            return
