"""The journal of a run: a small file among the results, by which a run is resumed, and repeated cheaply."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import click
from attrs import asdict, define, evolve, field, frozen

from dpip.command.tables import chain

_NAME: Final = ".dpip-run.jsonl"
_PARTS: Final = ".dpip-part-"
_VERSIONS: Final = (1, 2)


def _tuple(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@frozen
class RunTask:
    """The files of a run, the filters, and where they run; a resumed run must have the same task."""

    inputs: tuple[str, ...] = field(converter=_tuple)
    steps: Sequence[Mapping[str, Any]]
    output: Mapping[str, Any]
    server: str | None

    @property
    def recipe(self) -> str:
        """A short hash of the filters and the output: pictures of one recipe replace each other."""
        told = json.dumps([self.steps, self.output], sort_keys=True)
        return sha256(told.encode()).hexdigest()[:12]


@frozen
class Manner:
    """How a run treats what is there: ``taken`` says what happens to results of earlier runs.

    ``update`` keeps those that are still right, ``overwrite`` and ``rename`` filter all anew, and write over
    files of the same name, or beside them. With ``keep_times`` results get the originals' times.
    """

    taken: str = "update"
    keep_times: bool = True


UPDATE: Final = Manner()


@frozen
class FileState:
    """What a file was like: its size in bytes, its time in ns, and its hash if that was computed."""

    size: int
    time: int
    sha256: str = ""

    @classmethod
    def of(cls, path: Path) -> FileState:
        """Return the present state, without a hash. Raises OSError."""
        facts = path.stat()
        return cls(facts.st_size, facts.st_mtime_ns)


@frozen
class Past:
    """What the journal has of a picture: its result, or its upload's workload and place.

    ``written`` is the state of the result's file, ``source`` that of the original, ``engine`` what made it.
    """

    result: str | None = None
    written: FileState | None = None
    source: FileState | None = None
    engine: str | None = None
    taken: tuple[str, int] | None = None
    failures: int = 0


@define(eq=False)
class Journal:
    """A file with a line of JSON for each thing that happened, and one with the task for each run.

    What earlier runs have finished stays known, by picture and recipe. A line that a crash cut short is
    skipped, so its work is done again. Lines are not synced one by one, as only work can be lost: a result
    counts as finished only while its file has the size in the line.
    """

    folder: Path
    task: RunTask
    run: str
    manner: Manner
    _file: Any
    _past: dict[tuple[str, str], Past] = field(factory=dict)
    _results: dict[str, bool] = field(factory=dict)  # name → whether this run has written it
    _parts: int = 0
    _noted: bool = False  # something has happened in this run

    @classmethod
    def opened(cls, folder: Path, task: RunTask | None, resume: bool, manner: Manner = UPDATE) -> Journal:
        """Open the journal in ``folder``; a resumed run's ``task`` may be None, and is then the journal's.

        The same task in the same manner, which was not finished, is resumed in any case.
        Raises UsageError, ClickException.
        """
        if task is None and not (folder / _NAME).exists():
            raise click.UsageError(
                f"{folder} holds no run to resume. Name the files to work on, and a filter."
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = (folder / _NAME).open("a+", encoding="utf-8", errors="replace")
        except OSError as error:
            raise click.ClickException(
                f"Results cannot be written to {folder}: {error.strerror}. Name another folder with -o."
            ) from None
        try:
            _lock(file, folder)
            _check_current(file, folder)
            return cls._read(folder, file, task, resume, manner)
        except BaseException:
            file.close()
            raise

    @classmethod
    def _read(cls, folder: Path, file: Any, task: RunTask | None, resume: bool, manner: Manner) -> Journal:
        journal = cls(folder, task, "", manner, file)  # type: ignore[arg-type]
        known, finished = None, True
        file.seek(0)
        for line in filter(None, map(_decoded, file)):
            if line.get("version") in _VERSIONS:
                known = journal.task = RunTask(**line["task"])
                journal.run, finished = line["run"], False
                journal.manner = Manner(**line.get("manner", {}))
                journal._results = dict.fromkeys(journal._results, False)
            else:
                journal._remember(line)
                finished = "end" in line
        if task is None and known is None:
            raise click.UsageError(
                f"{folder} holds no run to resume. Name the files to work on, and a filter."
            )
        if resume and known is not None:
            _check_same(folder, known, task)
        repeated = not finished and _is_same(known, task) and manner == journal.manner
        if known is not None and (resume or repeated):
            journal._append("\n")  # after a line that was cut short
        elif not finished and not _is_same(known, task):
            raise click.UsageError(
                f"{folder} holds a run that was not finished. Go on with it (--resume), name another folder "
                f"(-o), or forget it by removing {folder / _NAME}."
            )
        else:
            assert task is not None
            journal._begin(task, manner)
        journal._sweep()
        return journal

    def _begin(self, task: RunTask, manner: Manner) -> None:
        """Begin a new run, in a new file that holds only what is still of use; it replaces the old one."""
        self.task, self.manner, self.run = task, manner, uuid4().hex
        self._past = {of: evolve(past, taken=None, failures=0) for of, past in self._past.items()}
        self._past = {of: past for of, past in self._past.items() if past.result is not None}
        current = {str(past.result) for past in self._past.values()}
        others = [name for name in self._results if name not in current and (self.folder / name).exists()]
        self._results = dict.fromkeys((*current, *others), False)
        part = self.folder / f"{_PARTS}{os.getpid()}"
        part.unlink(missing_ok=True)
        old, self._file = self._file, part.open("a+", encoding="utf-8")
        with old:
            _lock(self._file, self.folder)
            for (name, recipe), past in self._past.items():
                self._write_result(name, recipe, past)
            for name in others:
                self._write(kept=name)
            self._write(version=_VERSIONS[-1], run=self.run, task=asdict(task), manner=asdict(manner))
            part.replace(self.folder / _NAME)

    def past(self, name: str) -> Past:
        """Return what is known of a picture; no result if its file has gone, or if all is done anew."""
        past = self._past.get((name, self.task.recipe), Past())
        if past.result is not None and (self._redone(past.result) or not self._is_there(past)):
            return evolve(past, result=None)
        return past

    def replaceable(self, name: str) -> Path | None:
        """Return the file of a picture's earlier result, if nobody else has changed it since."""
        past = self._past.get((name, self.task.recipe), Past())
        if past.result is None or past.written is None or self._results.get(past.result):
            return None
        with suppress(OSError):
            path = self.folder / past.result
            facts = FileState.of(path)
            if (facts.size, facts.time) == (past.written.size, past.written.time):
                return path
        return None

    def has_result(self, path: Path) -> bool:
        """Tell whether a file is the result of this run or an earlier one; the path is an absolute one."""
        return path.is_relative_to(self.folder) and str(path.relative_to(self.folder)) in self._results

    def is_of_this_run(self, path: Path) -> bool:
        """Tell whether this run, or what it resumes, has written a file in the folder."""
        return self._results.get(str(path.relative_to(self.folder)), False)

    def key(self, name: str, failures: int, size: int, changed: int) -> str:
        """Return the key for uploading a file in this state: it is new after each failure."""
        told = json.dumps([self.run, name, failures, size, changed])
        return sha256(told.encode()).hexdigest()[:32]

    def uploaded(self, name: str, workload: str, place: int) -> None:
        self._noted = True
        self._write(up=name, workload=workload, seq=place)

    def finished(
        self,
        name: str,
        result: Path,
        size: int,
        notices: Sequence[str] = (),
        source: FileState | None = None,
        engine: str | None = None,
    ) -> None:
        """Note a result, with the state of the original, and with what has made it. Raises OSError."""
        with suppress(OSError):  # somebody has removed it already
            written = FileState(size, FileState.of(result).time)
            past = Past(str(result.relative_to(self.folder)), written, source, engine)
            self._keep(name, self.task.recipe, past, True)
            self._write_result(name, self.task.recipe, past, notices)

    def failed(self, name: str, code: str, reason: str) -> None:
        self._noted = True
        self._write(bad=name, code=code, reason=reason)

    def end(self) -> None:
        """Note that every picture has ended, so that a next run in this folder may begin."""
        self._write(end=True)

    def close(self) -> None:
        self._file.close()

    def forget_if_unused(self, made: Sequence[Path]) -> None:
        """Remove the journal if nothing has happened, and then the folders that were made for it."""
        if not self._noted and not self._past:
            (self.folder / _NAME).unlink()
            with suppress(OSError):  # something else is in them
                for folder in made:
                    folder.rmdir()

    def part(self) -> Path:
        """Return a new name on the folder's disk for an unfinished file; the next run removes leftovers."""
        self._parts += 1
        return self.folder / f"{_PARTS}{os.getpid()}-{self._parts}"

    def _sweep(self) -> None:
        for path in self.folder.glob(f".*{_PARTS[1:]}*"):
            path.unlink()

    def _redone(self, result: str) -> bool:
        return self.manner.taken != "update" and not self._results[result]

    def _is_there(self, past: Past) -> bool:
        try:
            assert past.written is not None
            return (self.folder / str(past.result)).stat().st_size == past.written.size
        except OSError:
            return False

    def _keep(self, name: str, recipe: str, past: Past, this_run: bool) -> None:
        self._past[name, recipe] = past
        self._results[str(past.result)] = this_run

    def _write_result(self, name: str, recipe: str, past: Past, notices: Sequence[str] = ()) -> None:
        written, source = past.written, past.source
        assert written is not None
        more: dict[str, Any] = {"notices": list(notices)} if notices else {}
        if source is not None:
            more["of"] = [source.size, source.time, source.sha256]
        how = {"how": recipe, "by": past.engine}
        self._write(ok=name, to=past.result, size=written.size, time=written.time, **how, **more)

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
        recipe = self.task.recipe if self.task is not None else ""
        if "up" in line:
            past = self._past.get((line["up"], recipe), Past())
            self._past[line["up"], recipe] = evolve(past, taken=(line["workload"], line["seq"]))
        elif "ok" in line:
            written = FileState(line["size"], line.get("time", 0))
            source = FileState(*line["of"]) if "of" in line else None
            past = Past(line["to"], written, source, line.get("by"))
            self._keep(line["ok"], line.get("how", recipe), past, True)
        elif "kept" in line:
            self._results[line["kept"]] = False
        elif "bad" in line:
            past = self._past.get((line["bad"], recipe), Past())
            self._past[line["bad"], recipe] = evolve(past, taken=None, failures=past.failures + 1)


def results_in(folder: str) -> Iterator[str]:
    """Yield the files that the journal in a folder lists as results; nothing if there is no journal."""
    with suppress(OSError), open(os.path.join(folder, _NAME), encoding="utf-8", errors="replace") as file:
        for line in filter(None, map(_decoded, file)):
            if "ok" in line or "kept" in line:
                yield os.path.join(folder, str(line.get("to") or line.get("kept")))


def _lock(file: Any, folder: Path) -> None:
    """Lock a journal. Raises ClickException if another run has locked it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        raise click.ClickException(
            f"Another run writes to {folder} at this moment. Wait for it, or name another folder with -o."
        ) from None


def _check_current(file: Any, folder: Path) -> None:
    """Raise ClickException if another run has replaced the journal between opening and locking it."""
    if not os.path.samestat(os.fstat(file.fileno()), (folder / _NAME).stat()):
        raise click.ClickException(f"Another run has just written to {folder}. Try again.")


def _decoded(line: str) -> dict[str, Any] | None:
    try:
        facts = json.loads(line)
    except ValueError:
        return None
    return facts if isinstance(facts, dict) else None


def _is_same(known: RunTask | None, task: RunTask | None) -> bool:
    """Tell whether two tasks are of the same files, in whatever order they are named."""
    if known is None or task is None:
        return False
    return evolve(known, inputs=sorted(known.inputs)) == evolve(task, inputs=sorted(task.inputs))


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
