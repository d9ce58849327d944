"""The commands that talk to a server, as processes of their own."""

from __future__ import annotations

import json
import stat
import subprocess
import sys

from tests.command.test_demo import DPIP, PATIENCE, ProcessTestCase
from tests.frames import encoded
from tests.system.processes import PASSWORD, Cluster, wait_until


class CommandsTests(ProcessTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.environment["DPIP_CONFIG_DIR"] = str(self.folder / "config")
        for name in ("DPIP_SERVER", "DPIP_TOKEN", "DPIP_STATE_DIR"):
            self.environment.pop(name, None)

    def dpip(self, *arguments: str, code: int = 0, stdin: str = "") -> str:
        """What it prints; of a refused command its last words."""
        done = subprocess.run(
            [*DPIP, *arguments],
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        return done.stdout if code == 0 else done.stderr

    def test_from_login_to_logout(self) -> None:
        (self.folder / "photos").mkdir()
        (self.folder / "photos" / "a.jpg").write_bytes(encoded(1, 160, 120, "JPEG"))
        (self.folder / "photos" / "b.png").write_bytes(encoded(2, 160, 120))
        (self.folder / "photos" / "broken.jpg").write_bytes(encoded(3, 320, 240, "JPEG")[:4000])
        with Cluster() as cluster:
            cluster.start_controller("--slots", "1", plugin="dpip").wait_for_log("Joined")
            server = f"http://127.0.0.1:{cluster.http}"
            self._log_in(server)
            self._run_and_look(server)
            self._drain_and_resume()
            self._manage_users()
            self._manage_tokens()
            self.assertIn("Logged out", self.dpip("logout"))
            self.assertEqual(list((self.folder / "config" / "logins").iterdir()), [])
            self.assertIn("dpip login", self.dpip("status", "--server", server, code=1))

    def _log_in(self, server: str) -> None:
        self.assertIn("wrong", self.dpip("login", server, stdin="not the password\n", code=1))
        self.assertIn(f"Logged in to {server} as admin until 20", self.dpip("login", server, stdin=PASSWORD))
        (kept,) = (self.folder / "config" / "logins").iterdir()
        self.assertEqual(stat.S_IMODE(kept.stat().st_mode), 0o600)
        self.assertIn("user    admin\n", self.dpip("whoami"))
        self.assertEqual(self.dpip("token").strip(), json.loads(kept.read_text())["token"])
        self.environment["DPIP_TOKEN"] = "dead"
        self.assertIn("Log in", self.dpip("whoami", code=1))
        del self.environment["DPIP_TOKEN"]

    def _run_and_look(self, server: str) -> None:
        self.dpip("run", "photos", "-o", "out", "-f", "resize", "--width", "40", "--name", "trip", code=3)
        self.assertIn("no filter named", self.dpip("run", "photos", "-o", "none", "-f", "nosuch", code=2))
        self.assertFalse((self.folder / "none").exists())
        (facts,) = json.loads(self.dpip("workloads", "--json"))
        workload = facts["workload_id"]
        table = self.dpip("workloads").splitlines()
        self.assertRegex(table[0], r"^WORKLOAD +STATUS +IMAGES +DONE +FAILED +AGE +NAME$")
        self.assertRegex(table[1], rf"^{workload} +completed +3 +2 +1 +\d+ \w+ +trip$")
        shown = self.dpip("workload", "--watch", "--why")  # the newest
        self.assertIn("filter    resize width=40 fit=contain", shown)
        self.assertIn("failed: broken.jpg: The picture is damaged", shown)
        self.assertIn("No workloads are running", self._both("status"))
        self.assertRegex(self.dpip("workers").splitlines()[1], r"embedded +joined +\d+ \w+ +1 +0 +\d+% ")
        self.assertIn("--sigma 5 (0.3 to 100)", self.dpip("filters"))
        names = {each["name"] for each in json.loads(self.dpip("images", workload, "--json"))}
        self.assertEqual(names, {"a.jpg", "b.png"})
        self.assertIn("40x30", self.dpip("images", workload))
        self.assertEqual(self.dpip("download", workload, "-o", "got"), "2 downloaded to got.\n")
        self.assertEqual(
            (self.folder / "got" / "b.png").read_bytes(), (self.folder / "out" / "b.png").read_bytes()
        )
        self.assertIn("0 downloaded to got; 2 were there", self.dpip("download", workload, "-o", "got"))
        self.dpip("download", workload, "-o", "originals", "--originals")
        self.assertEqual(
            (self.folder / "originals" / "a.jpg").read_bytes(),
            (self.folder / "photos" / "a.jpg").read_bytes(),
        )
        self._change(workload)
        self.assertIn("Say --yes", self.dpip("delete", workload, code=2))
        self.assertEqual(self.dpip("delete", workload, "--yes"), f"Deleted {workload}.\n")
        self.assertIn("There is no workload", self.dpip("workload", workload, code=1))
        self.assertIn("answers to admin", self.dpip("doctor"))

    def _change(self, workload: str) -> None:
        self.assertEqual(self.dpip("retry", workload), "1 image will be filtered again.\n")
        self.dpip("workload", workload, "--watch")
        found = json.loads(self.dpip("workload", workload, "--json"))
        (failed,) = found["failed_images"]
        self.assertEqual(failed["name"], "broken.jpg")
        self.assertEqual(json.loads(self.dpip("retry", workload, failed["image_id"], "--json"))["retried"], 1)
        self.dpip("workload", workload, "--watch")
        self.assertIn("no original 'x'", self.dpip("retry", workload, "x", code=1))
        self.assertEqual(self.dpip("cancel", workload), "Cancelled 0 images; 2 are done.\n")
        self.assertIn("takes no more images; it has 3", self.dpip("seal", workload))
        (listed,) = json.loads(self.dpip("workloads", "--status", "completed", "--name", "TRIP", "--json"))
        self.assertEqual((listed["workload_id"], listed["sealed"]), (workload, True))
        self.assertIn("There are no workloads.", self._both("workloads", "--status", "running"))

    def _drain_and_resume(self) -> None:
        """The worker within the service, without which nothing is filtered; commands say so."""
        (worker,) = (each["worker"] for each in json.loads(self.dpip("workers", "--json")))
        self.dpip("workers", "drain", worker)
        wait_until(lambda: "Away for" in self.dpip("workers"), "the end of the worker", every=0.1)
        process = self.start(*DPIP, "run", "photos/a.jpg", "-o", "late", "-f", "invert", "--name", "late")
        assert process.stderr is not None
        self.assertIn("No worker has joined", process.stderr.readline())
        self.assertIn("No worker has joined", self.dpip("status"))
        shown = self.dpip("workload")
        self.assertRegex(shown, r"waiting for +No worker has joined")
        self.assertNotIn("time left", shown)
        self.assertIn("No worker has joined", self.dpip("doctor"))
        self.assertIn("is started again", self.dpip("workers", "resume", worker))
        process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0)
        self.assertIn("not a drained worker", self.dpip("workers", "resume", worker, code=1))

    def _manage_tokens(self) -> None:
        token = self.dpip("token", "add", "nightly", "--days", "3").strip()
        self.assertRegex(self.dpip("token", "list"), r"admin +nightly +20.*\n.*\(a login\)")
        self.environment["DPIP_TOKEN"] = token
        self.assertEqual(self.dpip("token").strip(), token)
        (found,) = [each for each in json.loads(self.dpip("token", "list", "--json")) if each["name"]]
        self.assertEqual(self.dpip("token", "revoke", found["token_id"]), f"Revoked {found['token_id']}.\n")
        self.assertIn("Log in", self.dpip("whoami", code=1))
        del self.environment["DPIP_TOKEN"]

    def _both(self, *command: str) -> str:
        done = subprocess.run(
            [*DPIP, *command], cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        return done.stdout + done.stderr

    def _manage_users(self) -> None:
        self.assertEqual(
            self.dpip("users", "add", "ann", "--quota", "2G", stdin="ann likes pictures\n"),
            "Added the user ann.\n",
        )
        listed = json.loads(self.dpip("users", "list", "--json"))
        names = [each["user"] for each in listed]
        self.assertTrue(all(each["created_at"].endswith("Z") for each in listed), listed)
        self.assertEqual(names, ["admin", "ann"])
        changed = self.dpip("users", "passwd", "ann", stdin="ann likes films\n")
        self.assertEqual(changed, "The password of ann is changed.\n")
        wrong = self.dpip("users", "passwd", "admin", stdin="a guess of it\nanother password\n", code=1)
        self.assertIn("The old password is wrong", wrong)
        self.assertIn("Say --yes", self.dpip("users", "remove", "ann", code=2))
        self.assertEqual(self.dpip("users", "remove", "ann", "--yes"), "Removed ann.\n")
        self.assertIn("ann", self.dpip("users", "remove", "ann", "--yes", code=1))

    def test_flags_go_before_the_environment_and_that_before_the_file(self) -> None:
        config = self.folder / "config"
        config.mkdir()
        (config / "config.toml").write_text(
            'server = "http://127.0.0.1:1"\n[whoami]\nserver = "http://127.0.0.1:2"\n'
        )
        self.environment["DPIP_TOKEN"] = "T"
        self.assertIn("127.0.0.1:1:", self.dpip("status", code=4))
        self.assertIn("127.0.0.1:2:", self.dpip("whoami", code=4))
        self.environment["DPIP_SERVER"] = "http://127.0.0.1:3"
        self.assertIn("127.0.0.1:3:", self.dpip("whoami", code=4))
        self.assertIn("127.0.0.1:4:", self.dpip("whoami", "--server", "http://127.0.0.1:4", code=4))
        (config / "config.toml").write_text("server = \n")
        self.assertIn("config.toml cannot be read", self.dpip("whoami", code=1))

    def test_completion_knows_the_filters(self) -> None:
        self.assertIn("_DPIP_COMPLETE=bash_complete", self.dpip("completion", "bash"))
        self.environment |= {
            "_DPIP_COMPLETE": "bash_complete",
            "COMP_WORDS": "dpip run --filter b",
            "COMP_CWORD": "3",
        }
        found = subprocess.run(DPIP, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        self.assertEqual(
            [line.partition(",")[2] for line in found.stdout.splitlines()],
            ["blur", "box_blur", "brightness_contrast"],
        )

    def test_the_doctor_of_a_sound_installation(self) -> None:
        found = json.loads(self.dpip("doctor", "--json"))
        self.assertEqual([each for each in found if each["state"] == "bad"], [])
        self.assertIn("filters", [each["about"] for each in found])


class BlockingTests(ProcessTestCase):
    def test_a_program_without_twisted(self) -> None:
        (self.folder / "photo.jpg").write_bytes(encoded(1, 160, 120, "JPEG"))
        script = (
            "import sys\n"
            "from dpip.client.blocking import Dpip\n"
            "with Dpip(sys.argv[1]) as dpip:\n"
            "    dpip.login('admin', sys.argv[2])\n"
            "    workload = dpip.create_workload(filter='blur', params={'sigma': 8})\n"
            "    dpip.upload_many(workload.workload_id, ['photo.jpg'])\n"
            "    print(dpip.wait(workload.workload_id, every=0.05).filtered)\n"
            "    (image,) = dpip.images(workload.workload_id)\n"
            "    print(image.name, len(dpip.download(image.image_id)) == image.size)\n"
            "    print([each.workload_id for each in dpip.workloads()] == [workload.workload_id])\n"
        )
        with Cluster() as cluster:
            cluster.start_controller("--slots", "1", plugin="dpip").wait_for_log("Joined")
            code, out, err = self.run_it(
                sys.executable, "-c", script, f"http://127.0.0.1:{cluster.http}", PASSWORD
            )
        self.assertEqual((code, out), (0, "1\nphoto.jpg True\nTrue\n"), err)
