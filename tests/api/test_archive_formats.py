"""ZIP and TAR, as other programs read them."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dpip.api.archive_formats import ArchiveWriter, Entry, Names, TarWriter, ZipWriter

AT = 1_800_000_000.0
GIB = 2**30


def written(writer: ArchiveWriter, *files: tuple[str, bytes]) -> BytesIO:
    file = BytesIO()
    for name, data in files:
        entry = Entry(name, len(data), AT, zlib.crc32(data))
        file.write(writer.before(entry) + data + writer.after(entry))
    file.write(b"".join(writer.end()))
    return file


class ZipTests(SynchronousTestCase):
    def test_what_goes_in_comes_out(self) -> None:
        files = [("a.png", b"1" * 1000), ("é 猫.jpg", b""), ("b.png", b"x")]
        with zipfile.ZipFile(written(ZipWriter(), *files)) as archive:
            self.assertIsNone(archive.testzip())
            self.assertEqual([(info.filename, archive.read(info)) for info in archive.infolist()], files)
            info = archive.infolist()[0]
        self.assertEqual(info.date_time, (2027, 1, 15, 8, 0, 0))
        self.assertEqual(info.external_attr >> 16, 0o100644)

    def test_each_entry_says_its_size_before_its_bytes(self) -> None:
        data = written(ZipWriter(), ("a.png", b"abc")).getvalue()
        with zipfile.ZipFile(BytesIO(data)) as archive:
            self.assertEqual(archive.infolist()[0].flag_bits & 8, 0)
        self.assertEqual(data[14:26], zlib.crc32(b"abc").to_bytes(4, "little") + b"\3\0\0\0\3\0\0\0")

    def test_none_at_all(self) -> None:
        with zipfile.ZipFile(written(ZipWriter())) as archive:
            self.assertEqual(archive.namelist(), [])

    def test_more_than_four_gibibytes(self) -> None:
        """In a file with holes."""
        writer, path = ZipWriter(), Path(self.mktemp())
        with path.open("wb") as file:
            for name, size in (("large.tif", 5 * GIB), ("small.tif", 3)):
                file.write(writer.before(Entry(name, size, AT, zlib.crc32(b"abc"))))
                file.seek(size - 3, 1)
                file.write(b"abc")
            file.write(b"".join(writer.end()))
        with zipfile.ZipFile(path) as archive:
            self.assertEqual(
                [(i.filename, i.file_size) for i in archive.infolist()],
                [("large.tif", 5 * GIB), ("small.tif", 3)],
            )
            self.assertEqual(archive.read("small.tif"), b"abc")
        path.unlink()

    def test_more_than_65535_entries(self) -> None:
        files = [(f"{number}.png", b"") for number in range(66_000)]
        with zipfile.ZipFile(written(ZipWriter(), *files)) as archive:
            self.assertEqual(len(archive.namelist()), 66_000)

    def test_times_that_the_format_does_not_have(self) -> None:
        for at in (0.0, 1e11):
            self.assertTrue(ZipWriter().before(Entry("a", 0, at)))


class TarTests(SynchronousTestCase):
    def test_what_goes_in_comes_out(self) -> None:
        files = [("a.png", b"1" * 1000), ("é 猫" + "x" * 200 + ".jpg", b""), ("b.png", b"x" * 512)]
        file = written(TarWriter(), *files)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            members = archive.getmembers()
            self.assertEqual([(m.name, archive.extractfile(m).read()) for m in members], files)  # type: ignore[union-attr]
        self.assertEqual((members[0].mtime, members[0].mode), (AT, 0o644))


class NamesTests(SynchronousTestCase):
    def test_no_two_are_the_same(self) -> None:
        names = Names()
        given = ["cat.jpg", "cat.jpg", "CAT.jpg", "cat-2.jpg", "cat.png", "cat.jpg", "x", "x"]
        self.assertEqual(
            [names.unique(name) for name in given],
            ["cat.jpg", "cat-2.jpg", "CAT-3.jpg", "cat-2-2.jpg", "cat.png", "cat-4.jpg", "x", "x-2"],
        )

    def test_a_hundred_thousand_of_one_name_take_no_longer_each(self) -> None:
        names = Names()
        self.assertEqual(len({names.unique("a.jpg") for _ in range(100_000)}), 100_000)
