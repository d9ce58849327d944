"""Clients' file names made harmless."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dpip.api.filenames import content_disposition, safe_name


class FileNameTests(SynchronousTestCase):
    def test_examples(self) -> None:
        for given_name, kind, expected in (
            ("a.png", "image/png", "a.png"),
            ("A.PNG", "image/png", "A.PNG"),
            ("a.jpeg", "image/jpeg", "a.jpeg"),
            ("a.png", "image/jpeg", "a.jpg"),
            ("archive.tar.gz", "image/png", "archive.tar.gz.png"),
            (None, "image/png", "id.png"),
            ("", "image/tiff", "id.tif"),
            (".png", "image/png", "png.png"),
            ("...", "image/png", "id.png"),
            ("/etc/passwd", "image/png", "passwd.png"),
            ("C:\\Users\\ann\\a.bmp", "image/bmp", "a.bmp"),
            ("a\r\nSet-Cookie: x.png", "image/png", "aSet-Cookie_ x.png"),
            ("\u202egnp.exe", "image/png", "gnp.exe.png"),
            ("CON.png", "image/png", "_CON.png"),
            ("x" * 500 + ".png", "image/png", "x" * 120 + ".png"),
            ("a.xyz", "image/unknown", "a.xyz"),
        ):
            self.assertEqual(safe_name(given_name, "id", kind), expected)

    @settings(deadline=None, derandomize=True)
    @given(st.text(max_size=200), st.sampled_from(["image/png", "image/jpeg", "image/unknown"]))
    def test_no_name_leaves_its_folder_or_its_header(self, name: str, kind: str) -> None:
        safe = safe_name(name, "id", kind)
        self.assertFalse(set(safe) & set('/\\\0\r\n"<>:|?*'))
        self.assertNotIn(safe, ("", ".", ".."))
        self.assertLess(len(safe), 150)
        header = content_disposition(safe)
        self.assertTrue(header.isascii() and header.isprintable(), header)
        self.assertEqual(header.count('"'), 2)
