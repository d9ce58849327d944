"""GET /workloads/{id}/archive."""

from __future__ import annotations

import os
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

from dpip.api import archive
from dpip.runtime.transports import PIECE
from tests.api.client import Connection, request_bytes
from tests.api.fixture import ApiTest, noise, picture


def body_of(connection: Connection) -> bytes:
    """What the chunks hold."""
    rest, body = connection.received.partition(b"\r\n\r\n")[2], b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body


class ArchiveTests(ApiTest):
    timeout = 30.0

    async def fetch(self, path: str) -> Connection:
        connection = await self.connect()
        connection.send(request_bytes("GET", path, {"Authorization": f"Bearer {self.user}"}))
        await connection.until(b"\r\n0\r\n\r\n")
        self.assertTrue(connection.received.startswith(b"HTTP/1.1 200 "), connection.received[:500])
        return connection

    async def unzipped(self, path: str) -> list[tuple[str, bytes]]:
        with zipfile.ZipFile(BytesIO(body_of(await self.fetch(path)))) as file:
            self.assertIsNone(file.testzip())
            return [(info.filename, file.read(info)) for info in file.infolist()]

    async def finished(self, *names: str) -> str:
        """A workload whose results are pictures of the shades 100, 101, …"""
        workload_id = await self.new_workload(workload_name="My <holiday> / 2026")
        for name in names:
            await self.upload(workload_id, picture(shade=1), name)
        for number in range(len(names)):
            await self.finish_job("w", picture(shade=100 + number))
        return workload_id

    async def test_all_results_in_upload_order_under_their_own_names(self) -> None:
        names = ["b.png", "a.jpg", "b.png", "../../etc/passwd"]
        workload_id = await self.finished(*names)
        self.assertEqual(
            await self.unzipped(f"/workloads/{workload_id}/archive"),
            [
                (name, picture(shade=100 + number))
                for number, name in enumerate(["b.png", "a.png", "b-2.png", "passwd.png"])
            ],
        )

    async def test_folders_stay_folders(self) -> None:
        workload_id = await self.finished(
            "rome/1.png", "rome/1.png", "oslo/1.png", "rome.png/1.png", "rome.png"
        )
        names = ["rome/1.png", "rome/1-2.png", "oslo/1.png", "rome.png_/1.png", "rome.png"]
        found = await self.unzipped(f"/workloads/{workload_id}/archive")
        self.assertEqual([name for name, _ in found], names)

    async def test_a_selection_of_places(self) -> None:
        workload_id = await self.finished("a.png", "b.png", "c.png", "d.png")
        self.patch(archive, "_PAGE", 2)
        found = await self.unzipped(f"/workloads/{workload_id}/archive?seqs=3,0-1,9")
        self.assertEqual([name for name, _ in found], ["a.png", "b.png", "d.png"])
        answer = await self.get(f"/workloads/{workload_id}/archive?seqs=2-1", self.user)
        self.assert_problem(answer, 422, "bad-parameter")

    async def test_what_it_is_called(self) -> None:
        workload_id = await self.finished("a.png")
        for asked, extension, kind in (
            ("", "zip", "application/zip"),
            ("?format=tar", "tar", "application/x-tar"),
        ):
            head = (await self.fetch(f"/workloads/{workload_id}/archive{asked}")).received.partition(
                b"\r\n\r\n"
            )[0]
            self.assertIn(f"Content-Type: {kind}".encode(), head)
            self.assertIn(
                f'Content-Disposition: attachment; filename="My _holiday_ _ 2026.{extension}"'.encode(), head
            )

    async def test_as_tar(self) -> None:
        workload_id = await self.finished("a.png", "b.png")
        body = body_of(await self.fetch(f"/workloads/{workload_id}/archive?format=tar"))
        with tarfile.open(fileobj=BytesIO(body)) as file:
            self.assertEqual(file.getnames(), ["a.png", "b.png"])
            inner: Any = file.extractfile("b.png")
            self.assertEqual(inner.read(), picture(shade=101))

    async def test_originals_and_nothing(self) -> None:
        workload_id = await self.new_workload()
        path = f"/workloads/{workload_id}/archive"
        self.assertEqual(await self.unzipped(path), [])
        await self.upload(workload_id, name="a.png")
        self.assertEqual(await self.unzipped(path), [])
        self.assertEqual(await self.unzipped(f"{path}?type=original"), [("a.png", picture())])

    async def test_large_files_and_many_pages(self) -> None:
        self.patch(archive, "_PAGE", 2)
        large = noise(3 * PIECE + 7)
        workload_id = self.stored_workload(picture(), large, picture(shade=1), large, picture(shade=2))
        for asked in ("", "&format=tar"):
            body = body_of(await self.fetch(f"/workloads/{workload_id}/archive?type=original{asked}"))
            self.assertIn(large, body)
        files = await self.unzipped(f"/workloads/{workload_id}/archive?type=original")
        self.assertEqual([len(data) for _, data in files][1::2], [len(large)] * 2)

    async def test_one_that_cannot_be_finished_is_cut_short(self) -> None:
        workload_id = self.stored_workload(picture(), picture(shade=1))
        [gone] = [path for path in self.stored_files() if Path(path).read_bytes() == picture(shade=1)]
        os.remove(gone)
        connection = await self.connect()
        path = f"/workloads/{workload_id}/archive?type=original"
        connection.send(request_bytes("GET", path, {"Authorization": f"Bearer {self.user}"}))
        await connection.closed
        self.assertNotIn(b"\r\n0\r\n\r\n", connection.received)

    async def test_a_client_that_does_not_read_is_waited_for(self) -> None:
        workload_id = self.stored_workload(*[picture(shade=shade) for shade in range(8)])
        reads: list[str] = []
        read = self.store.read

        def counted(path: str, start: int, length: int) -> Any:
            reads.append(path)
            if len(reads) == 3:
                self.channels[-1].requests[0].producer.pauseProducing()  # as a full transport does
            return read(path, start, length)

        self.patch(self.store, "read", counted)
        connection = await self.connect()
        path = f"/workloads/{workload_id}/archive?type=original&format=tar"
        connection.send(request_bytes("GET", path, {"Authorization": f"Bearer {self.user}"}))
        await connection.until(b"\r\n\r\n")
        for _ in range(50):
            await self.turn()
        self.assertEqual(len(reads), 3)
        self.channels[-1].requests[0].producer.resumeProducing()
        await connection.until(b"\r\n0\r\n\r\n")
        self.assertEqual(len(reads), 8)

    async def test_what_is_refused(self) -> None:
        self.new_user("bob")
        path = f"/workloads/{self.stored_workload()}/archive"
        bob = self.token_of("bob", "password-of-bob")
        self.assert_problem(await self.get(path, bob), 404, "not-found")
        self.assert_problem(await self.get(f"{path}?format=rar", self.user), 422, "bad-parameter")
        self.assert_problem(await self.get(f"{path}?type=other", self.user), 422, "bad-parameter")
