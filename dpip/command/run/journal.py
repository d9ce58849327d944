"""The journal of a run: a small file among the results, from which the run can be resumed."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import click
from attrs import asdict, define, field, frozen

from dpip.command.tables import chain

_NAME: Final = ".dpip-run.jsonl"
_PARTS: Final = ".dpip-part-"
_VERSION: Final = 1


def _tuple(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@frozen
class RunTask:
    """The files of a run, the filters, and where they run; a resumed run must have the same task."""

    inputs: tuple[str, ...] = field(converter=_tuple)
    steps: Sequence[Mapping[str, Any]]
    output: Mapping[str, Any]
    server: str | None


@frozen
class Past:
    """What the journal has of a picture: its result's name and size, or its upload's workload and place."""

    result: str | None = None
    size: int = 0
    taken: tuple[str, int] | None = None
    failures: int = 0


@define(eq=False)
class Journal:
    """A file with the task in its first line, and a line of JSON for each thing that happened.

    A line that a crash cut short is skipped, so its work is done again. Lines are not synced one by one, as
    only work can be lost: a result counts as finished only while its file has the size in the line.
    """

    folder: Path
    task: RunTask
    run: str
    _file: Any
    _past: dict[str, Past] = field(factory=dict)
    _parts: int = 0

    @classmethod
    def opened(cls, folder: Path, task: RunTask | None, resume: bool) -> Journal:
        """Open the journal in ``folder``; a resumed run's ``task`` may be None, and is then the journal's.

        Raises UsageError, ClickException.
        """
        path = folder / _NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = path.open("a+", encoding="utf-8", errors="replace")
        except OSError as error:
            raise click.ClickException(
                f"Results cannot be written to {folder}: {error.strerror}. Name another folder with -o."
            ) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise click.ClickException(
                f"Another run writes to {folder} at this moment. Wait for it, or name another folder with -o."
            ) from None
        try:
            return cls._read(folder, file, task, resume)
        except BaseException:
            file.close()
            raise

    @classmethod
    def _read(cls, folder: Path, file: Any, task: RunTask | None, resume: bool) -> Journal:
        file.seek(0)
        lines = filter(None, map(_decoded, file))
        header = next(lines, {})
        known = RunTask(**header["task"]) if header.get("version") == _VERSION else None
        journal = cls(folder, known or task, header.get("run", ""), file)  # type: ignore[arg-type]
        finished = True
        for line in lines:
            journal._remember(line)
            finished = "end" in line
        if resume and known is not None:
            _check_same(folder, known, task)
            journal._append("\n")  # after a line that was cut short
        elif task is None:
            raise click.UsageError(
                f"{folder} holds no run to resume. Name the files to work on, and a filter."
            )
        elif known is not None and not finished:
            raise click.UsageError(
                f"{folder} holds a run that was not finished. Go on with it (--resume), name another folder "
                f"(-o), or forget it by removing {folder / _NAME}."
            )
        else:
            journal = cls(folder, task, uuid4().hex, file)
            file.truncate(0)
            journal._write(version=_VERSION, run=journal.run, task=asdict(task))
        journal._sweep()
        return journal

    def past(self, name: str) -> Past:
        """Return what is known of a picture; nothing if it is finished but its result has gone."""
        past = self._past.get(name, Past())
        if past.result is not None and not self._is_there(past):
            return Past()
        return past

    def key(self, name: str, failures: int, size: int, changed: int) -> str:
        """Return the key for uploading a file in this state: it is new after each failure."""
        told = json.dumps([self.run, name, failures, size, changed])
        return sha256(told.encode()).hexdigest()[:32]

    def uploaded(self, name: str, workload: str, place: int) -> None:
        self._write(up=name, workload=workload, seq=place)

    def finished(self, name: str, result: Path, size: int, notices: Sequence[str] = ()) -> None:
        more = {"notices": list(notices)} if notices else {}
        self._write(ok=name, to=str(result.relative_to(self.folder)), size=size, **more)

    def failed(self, name: str, code: str, reason: str) -> None:
        self._write(bad=name, code=code, reason=reason)

    def end(self) -> None:
        """Note that every picture has ended, so that a next run in this folder may begin."""
        self._write(end=True)

    def close(self) -> None:
        self._file.close()

    def part(self) -> Path:
        """Return a new name on the folder's disk for an unfinished file; the next run removes leftovers."""
        self._parts += 1
        return self.folder / f"{_PARTS}{os.getpid()}-{self._parts}"

    def _sweep(self) -> None:
        for path in self.folder.glob(f".*{_PARTS[1:]}*"):
            path.unlink()

    def _is_there(self, past: Past) -> bool:
        try:
            return (self.folder / str(past.result)).stat().st_size == past.size
        except OSError:
            return False

    def _write(self, **facts: Any) -> None:
        self._append(json.dumps(facts, separators=(",", ":")) + "\n")

    def _append(self, text: str) -> None:
        """Write without a buffer: what a full disk leaves in a buffer would fail again when it is closed."""
        try:
            os.write(self._file.fileno(), text.encode("ascii"))
        except OSError as error:
            raise click.ClickException(
                f"{self.folder / _NAME} cannot be written: {error.strerror}. Put that right, and go on with "
                "--resume."
            ) from error

    def _remember(self, line: Mapping[str, Any]) -> None:
        if "up" in line:
            past = self._past.get(line["up"], Past())
            self._past[line["up"]] = Past(taken=(line["workload"], line["seq"]), failures=past.failures)
        elif "ok" in line:
            self._past[line["ok"]] = Past(result=line["to"], size=line["size"])
        elif "bad" in line:
            past = self._past.get(line["bad"], Past())
            self._past[line["bad"]] = Past(failures=past.failures + 1)


def _decoded(line: str) -> dict[str, Any] | None:
    try:
        facts = json.loads(line)
    except ValueError:
        return None
    return facts if isinstance(facts, dict) else None


def _check_same(folder: Path, known: RunTask, task: RunTask | None) -> None:
    if task is not None and (task.steps, task.output, task.server) != (
        known.steps,
        known.output,
        known.server,
    ):
        raise click.UsageError(
            f"The run in {folder} was another one: {_words(known)}, and not {_words(task)}. Leave the "
            "filter out to go on with that, or name another folder with -o."
        )


def _words(task: RunTask) -> str:
    output = "".join(f", {name} {value}" for name, value in task.output.items() if value is not None)
    return f"{chain(task.steps)}{output}, on {task.server or 'this machine'}"
