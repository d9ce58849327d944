"""The multipart reader, by itself: any cut through any body gives the same files and fields."""

from __future__ import annotations

import itertools

from attrs import define, field
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dpip.api.limits import Limits
from dpip.api.multipart import MultipartReader, boundary_of
from dpip.errors import Malformed, TooLarge
from tests.api.client import Form

BOUNDARY = "frontier"
DELIMITER = b"\r\n--frontier"


@define
class Kept:
    """A file in memory."""

    name: str | None
    data: bytearray = field(factory=bytearray)

    def write(self, data: bytes) -> None:
        self.data += data


def read(body: bytes, cuts: list[int], limits: Limits | None = None):
    """``(fields, files)`` of a body that arrives in pieces."""
    files: list[Kept] = []

    def open_file(name: str | None) -> Kept:
        files.append(Kept(name))
        return files[-1]

    reader = MultipartReader(BOUNDARY.encode(), open_file, limits or Limits())
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    for start, stop in itertools.pairwise(places):
        reader.write(body[start:stop])
    reader.end()
    return reader.fields, [(file.name, bytes(file.data)) for file in files]


#: Content that looks much like a delimiter, which is what a search across cuts can get wrong.
tricky = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"--", b"\r\n--", b"frontier", b"\r\n--fron", b"x", b"\0"])
).map(b"".join)
content = st.one_of(st.binary(max_size=200), tricky).filter(lambda data: DELIMITER not in b"\r\n" + data)
names = st.text(
    st.characters(exclude_characters='"\\%;', exclude_categories=("C", "Z")), min_size=1, max_size=20
)
cuts = st.lists(st.integers(0, 1500), max_size=40)


class MultipartTests(SynchronousTestCase):
    @settings(deadline=None, derandomize=True, max_examples=150)
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("field"), names.filter(lambda n: n != "data"), content),
                st.tuples(st.just("file"), names, content),
            ),
            max_size=8,
        ),
        cuts,
    )
    def test_whatever_is_sent_is_read(self, parts: list[tuple[str, str, bytes]], cuts: list[int]) -> None:
        form = Form(BOUNDARY)
        for kind, name, data in parts:
            if kind == "field":
                form.field(name, data)
            else:
                form.file("data", name, data)
        fields, files = read(form.body, cuts)
        self.assertEqual(fields, [(name, data) for kind, name, data in parts if kind == "field"])
        self.assertEqual(files, [(name, data) for kind, name, data in parts if kind == "file"])

    @settings(deadline=None, derandomize=True, max_examples=150)
    @given(st.one_of(st.binary(max_size=300), tricky.map(lambda data: b"--frontier" + data)), cuts)
    @example(b"--frontier--", [])
    @example(b"--frontier\r\n\r\n", [])
    def test_no_bytes_do_worse_than_be_refused(self, body: bytes, cuts: list[int]) -> None:
        outcomes = set()
        for pieces in ([], cuts):
            try:
                outcomes.add(str(read(body, pieces)))
            except Malformed:
                outcomes.add("malformed")
        self.assertEqual(len(outcomes), 1)

    def test_what_follows_the_last_boundary_is_passed_over(self) -> None:
        body = Form(BOUNDARY).field("a", "1").body + b"epilogue\r\n--frontier\r\n\r\nx"
        self.assertEqual(read(body, []), ([("a", b"1")], []))

    def test_a_boundary_within_a_longer_word_is_content(self) -> None:
        content = b"a\r\n--frontiers\r\n--frontier-\r\n--frontier\rb"
        for cut in range(200):
            self.assertEqual(read(Form(BOUNDARY).file("f", "f", content).body, [cut])[1], [("f", content)])

    def test_a_body_begins_with_its_boundary(self) -> None:
        body = Form(BOUNDARY).field("a", "1").body
        self.assertEqual(read(b"\r\n" + body, []), ([("a", b"1")], []))
        for wrong in (b"preamble" + body, b"\n" + body, b"--frontierx" + body, b"--other\r\n\r\n"):
            self.assertRaises(Malformed, read, wrong, [])

    def test_names_with_and_without_quotes_and_escapes(self) -> None:
        for value, name in (
            ('form-data; name="a b"', "a b"),
            ("Form-Data;name=a", "a"),
            ('form-data; NAME="a;b=c"', "a;b=c"),
            (r'form-data; name="a\"b"', 'a"b'),
            ("form-data; name*=UTF-8''%e2%82%ac", "€"),
        ):
            form = Form(BOUNDARY).part(f"Content-Disposition: {value}", b"1")
            self.assertEqual(read(form.body, []), ([(name, b"1")], []))

    def test_a_file_is_handed_on_before_it_is_complete(self) -> None:
        body = Form(BOUNDARY).file("data", "a.png", b"x" * 1000).body
        files: list[Kept] = []

        def open_file(name: str | None) -> Kept:
            files.append(Kept(name))
            return files[-1]

        reader = MultipartReader(BOUNDARY.encode(), open_file, Limits())
        reader.write(body[:600])
        self.assertGreater(len(files[0].data), 400)

    def test_each_bound(self) -> None:
        limits = Limits(files=1, fields=1, field_size=3, fields_size=4)
        for form in (
            Form(BOUNDARY).file("a", "a", b"").file("b", "b", b""),
            Form(BOUNDARY).field("a", "").field("b", ""),
            Form(BOUNDARY).field("a", "1234"),
        ):
            self.assertRaises(TooLarge, read, form.body, [], limits)
        allowed = Form(BOUNDARY).field("a", "123").file("f", "f", b"12345")
        self.assertEqual(read(allowed.body, [], limits), ([("a", b"123")], [("f", b"12345")]))

    def test_boundaries(self) -> None:
        self.assertEqual(boundary_of('multipart/form-data; boundary="a b"'), b"a b")
        self.assertEqual(boundary_of("Multipart/Form-Data; charset=utf-8; boundary=x"), b"x")
        for other in (None, "", "text/plain; boundary=x", "multipart/mixed; boundary=x"):
            self.assertEqual(boundary_of(other), None)
        for bad in (
            "multipart/form-data",
            "multipart/form-data; boundary=é",
            'multipart/form-data; boundary=""',
        ):
            self.assertRaises(Malformed, boundary_of, bad)
