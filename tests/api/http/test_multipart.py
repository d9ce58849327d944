"""The multipart reader, by itself: any cut through any body gives the same files and fields."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable
from typing import Any

from attrs import define, field
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dpip.api.http.limits import HttpLimits
from dpip.api.http.multipart import MultipartReader, boundary_of
from dpip.errors import DpipError, Malformed, TooLarge
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


@define
class Outcome:
    """What has come of a body: all that was read before it ended or was refused."""

    fields: list[tuple[str, bytes]]
    files: list[tuple[str | None, bytes]]
    refused: type[DpipError] | None = None


def outcome(pieces: Iterable[bytes], limits: HttpLimits | None = None) -> Outcome:
    files: list[Kept] = []
    refused: type[DpipError] | None = None

    def open_file(name: str | None) -> Kept:
        files.append(Kept(name))
        return files[-1]

    reader = MultipartReader(BOUNDARY.encode(), open_file, limits or HttpLimits())
    try:
        for piece in pieces:
            reader.write(piece)
        reader.end()
    except DpipError as error:
        refused = type(error)
    return Outcome(reader.fields, [(file.name, bytes(file.data)) for file in files], refused)


def cut(body: bytes, places: Iterable[int]) -> list[bytes]:
    bounds = [0, *sorted(min(place, len(body)) for place in places), len(body)]
    return [body[start:stop] for start, stop in itertools.pairwise(bounds)]


def read(body: bytes, cuts: Iterable[int] = (), limits: HttpLimits | None = None):
    """``(fields, files)`` of a body that arrives in pieces. Raises what the reader raises."""
    come = outcome(cut(body, cuts), limits)
    if come.refused is not None:
        raise come.refused("The body is refused.")
    return come.fields, come.files


def calls_of(work: Callable[[], Any]) -> int:
    """How many functions, of Python and of C, the work calls."""
    calls = 0

    def count(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


#: Content that looks much like a delimiter, which is what a search across cuts can get wrong.
tricky = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"--", b"\r\n--", b"frontier", b"\r\n--fron", b"x", b"\0"])
).map(b"".join)
content = st.one_of(st.binary(max_size=200), tricky).filter(lambda data: DELIMITER not in b"\r\n" + data)
names = st.text(
    st.characters(exclude_characters='"\\%;', exclude_categories=("C", "Z")), min_size=1, max_size=20
)
cuts = st.lists(st.integers(0, 1500), max_size=40)

#: What bodies are made of, whole and in part, and what has no place in them.
fragments = st.lists(
    st.sampled_from(
        [
            *(b"\r\n--frontier\r\n", b"\r\n--frontier--", b"\r\n--frontier", b"\r\n--fron", b"--frontier"),
            *(b'Content-Disposition: form-data; name="a"', b'; filename="b"', b"\r\n\r\n", b"\r\n"),
            *(b"Content-Type: image/png\r\n", b"Content-Length: 3\r\n", b"X: " + b"x" * 4096, b"X: y\r\n"),
            *(b"\r", b"\n", b"-", b"--", b" ", b"\t", b":", b";", b'"', b"\0", b"\xff", b"content"),
        ]
    ),
    max_size=25,
).map(b"".join)
a_part = st.sampled_from(
    [
        b'--frontier\r\nContent-Disposition: form-data; name="a"\r\n\r\n',
        b'--frontier\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n',
        b"--frontier\r\n",
        b"",
    ]
)
few = HttpLimits(files=2, fields=2, field_size=12, fields_size=20)


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
    @given(a_part, st.one_of(st.binary(max_size=300), tricky, fragments), cuts)
    @example(b"", b"--frontier--", [])
    @example(b"", b"--frontier\r\n\r\n", [])
    @example(b"--frontier\r\n", b'\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n--frontier--', [13])
    def test_a_body_has_one_outcome_wherever_it_is_cut(
        self, start: bytes, rest: bytes, cuts: list[int]
    ) -> None:
        body = start + rest
        whole = outcome([body], few)
        self.assertIn(whole.refused, (None, Malformed, TooLarge))
        self.assertEqual(outcome(cut(body, cuts), few), whole)
        self.assertEqual(outcome(cut(body, range(len(body))), few), whole)

    def test_what_follows_the_last_boundary_is_passed_over(self) -> None:
        body = Form(BOUNDARY).field("a", "1").body + b"epilogue\r\n--frontier\r\n\r\nx"
        self.assertEqual(read(body, []), ([("a", b"1")], []))

    def test_a_delimiter_in_a_longer_line_is_refused(self) -> None:
        """RFC 2046 takes such a line for a delimiter whatever follows: no content may have it."""
        for after in (b"s", b"-", b"-\r\n", b"\rb", b" \r\n", b"\n"):
            body = Form(BOUNDARY).file("f", "f", b"a\r\n--frontier" + after).body
            for place in range(len(body)):
                self.assertEqual(outcome(cut(body, [place])), Outcome([], [("f", b"a")], Malformed))

    def test_what_begins_like_a_delimiter_is_content(self) -> None:
        content = b"a\r\n--frontie\r\n--frontieR\n--frontier\r--frontier--frontier\r\n-frontier\r\n--fr"
        body = Form(BOUNDARY).file("f", "f", content).body
        for place in range(len(body)):
            self.assertEqual(read(body, [place])[1], [("f", content)])

    def test_a_part_has_headers_of_4096_bytes_together_at_most(self) -> None:
        head = b'Content-Disposition: form-data; name="a"'
        for padding, extra, refused in (
            (b"", 0, None),
            (b"", 1, Malformed),
            (b" " * 2000, 0, None),
            (b" " * 2000, 1, Malformed),
        ):
            filler = b"X:" + padding
            filler += b"x" * (4096 + extra - len(head) - len(filler))
            body = Form(BOUNDARY).part(filler + b"\r\n" + head, b"1").body
            for place in range(body.index(head) - 5, body.index(head) + len(head) + 5):
                self.assertEqual(outcome(cut(body, [place])).refused, refused)

    def test_header_lines_end_in_crlf_and_are_not_folded(self) -> None:
        for head in (
            b'Content-Disposition: form-data;\r\n name="a"',
            b'Content-Disposition: form-data; name="a"\r\n\tb',
            b'Content-Disposition: form-data; name="a\nb"',
            b'\nContent-Disposition: form-data; name="a"',
            b'Content-Disposition\n: form-data; name="a"',
            b'X: y\nContent-Disposition: form-data; name="a"',
            b'no colon\r\nContent-Disposition: form-data; name="a"',
        ):
            body = Form(BOUNDARY).part(head, b"1").body
            for place in range(len(body)):
                self.assertEqual(outcome(cut(body, [place])), Outcome([], [], Malformed), (head, place))

    def test_other_headers_of_a_part_mean_nothing(self) -> None:
        head = 'Content-Length: {}\r\ncontent-disposition: form-data; name="a"\r\nX-Y: z'
        for length in ("1", "5", "-1", "", "x"):
            self.assertEqual(read(Form(BOUNDARY).part(head.format(length), b"1").body), ([("a", b"1")], []))

    def test_a_bytes_cost_is_bounded_whatever_the_content(self) -> None:
        """Few calls for each piece, none of which can look at more than it and the little held back."""
        for unit in (b"\r\n--frontieR", b"\r\n--frontie", b"\r\n--", b"\r\n", b"\r", b"\n--frontier", b"x"):
            for size, count in ((1, 200), (7, 50), (11, 50), (64 * 1024, 3)):
                file, sent = Kept(None), 0
                reader = MultipartReader(BOUNDARY.encode(), lambda _name, file=file: file, HttpLimits())
                reader.write(b'--frontier\r\nContent-Disposition: form-data; name="data"\r\n\r\n')
                for piece in cut((unit * size * count)[: size * count], range(size, size * count, size)):
                    sent += len(piece)
                    self.assertLess(calls_of(lambda reader=reader, piece=piece: reader.write(piece)), 25)
                    self.assertLessEqual(sent - len(file.data), len(DELIMITER), (unit, size))

    def test_a_piece_of_a_file_is_handed_on_without_being_copied(self) -> None:
        taken: list[bytes] = []

        class Sink:
            def write(self, data: bytes) -> None:
                taken.append(data)

        reader = MultipartReader(BOUNDARY.encode(), lambda _name: Sink(), HttpLimits())
        reader.write(b'--frontier\r\nContent-Disposition: form-data; name="data"\r\n\r\n')
        piece = bytes(64 * 1024)
        reader.write(piece)
        self.assertIs(taken[0], piece)

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

        reader = MultipartReader(BOUNDARY.encode(), open_file, HttpLimits())
        reader.write(body[:600])
        self.assertGreater(len(files[0].data), 400)

    def test_each_bound(self) -> None:
        limits = HttpLimits(files=1, fields=1, field_size=3, fields_size=4)
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
            "multipart/form-data; boundary*=UTF-8''a%0Ab",
            "multipart/form-data; boundary*=UTF-8''a%0Db",
        ):
            self.assertRaises(Malformed, boundary_of, bad)
