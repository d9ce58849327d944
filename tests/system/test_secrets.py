"""Where a secret must not be: logs, answers, the list of processes, files that others can read."""

from __future__ import annotations

import stat
from base64 import b64encode

import psutil
from twisted.trial.unittest import TestCase

from dpip.link.join_token import JoinToken
from tests.frames import encoded
from tests.system.plain_client import PlainClient
from tests.system.processes import PASSWORD, Cluster, Process

_OTHER = "another password, and a wrong one"


class SecretsTests(TestCase):
    def test_they_are_in_files_of_their_owner_alone_and_nowhere_else(self) -> None:
        with Cluster() as cluster:
            controller = cluster.start_controller("--api-processes", "1", "--log-requests")
            worker = cluster.start_worker("w1", "--log-jobs")
            worker.wait_for_log("Joined")
            client = PlainClient(cluster.http)
            client.login("admin", PASSWORD)
            answers = self._used(client)
            secrets = [PASSWORD, _OTHER, client.token]
            secrets += [b64encode(f"admin:{word}".encode()).decode() for word in (PASSWORD, _OTHER)]
            for name in ("join-token", "api-token"):
                token = JoinToken.parse((cluster.state / name).read_text())
                secrets.append(token.secret.partition(".")[0])  # its dates are no secret
            shown = {
                "answers": "\n".join(answers),
                "processes": "\n".join(_commands(controller, worker)),
                "the controller's log": controller.log,
                "the worker's log": worker.log,
            }
            modes = {
                str(path.relative_to(cluster.state)): stat.S_IMODE(path.stat().st_mode)
                for path in [cluster.state, *cluster.state.rglob("*")]
                if not path.is_symlink()
            }
        for secret in secrets:
            self.assertGreater(len(secret), 20)
            for where, text in shown.items():
                self.assertTrue(text, where)
                self.assertNotIn(secret, text, where)
        self.assertEqual({name: oct(mode) for name, mode in modes.items() if mode & 0o077}, {})

    def _used(self, client: PlainClient) -> list[str]:
        """What is done with secrets, well and badly; returns what was answered to what went wrong."""
        workload = client.create_workload()
        client.upload(workload, "0.png", encoded(1, 64, 48))
        basic = b64encode(f"admin:{_OTHER}".encode()).decode()
        wrong = (
            ("POST", "/login", {"Authorization": f"Basic {basic}"}),
            ("POST", "/login", {"Authorization": f"Bearer {client.token}"}),
            ("GET", f"/images/{'x' * 30}?token={client.token}", {}),
            ("GET", "/status", {"Authorization": f"Bearer {client.token}x"}),
            ("GET", "/status", {"Authorization": f"Basic {basic}"}),
            (
                "GET",
                "/users",
                {"Authorization": f"Digest {_OTHER}", "Cookie": f"dpip-session={client.token}"},
            ),
            ("POST", "/images", {"Content-Type": client.token}),
        )
        answers = []
        for method, path, headers in wrong:
            answer = client.request(method, path, b"", {"Authorization": "", **headers})
            self.assertGreaterEqual(answer.status, 400, path)
            answers.append(f"{answer.headers} {answer.body!r}")
        return answers


def _commands(*processes: Process) -> list[str]:
    """Of each and its children: the command line, as anybody on the machine may read it."""
    return [
        " ".join(one.cmdline())
        for process in processes
        for parent in [psutil.Process(process.process.pid)]
        for one in [parent, *parent.children(recursive=True)]
    ]
