"""Keeping a worker's result, whether it came over HTTP or as a file of this machine."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from attrs import evolve

from dpip.errors import WrongHash
from dpip.interfaces import IController, IImageStore, IIncomingFile
from dpip.model import MAX_NOTICE, MAX_NOTICES, Image, ImageType, LeasedJob, Principal
from dpip.store.image_store import directory_of


async def keep_result(
    controller: IController,
    store: IImageStore,
    by: Principal,
    job: LeasedJob,
    file: IIncomingFile,
    notices: Iterable[str] = (),
) -> Image:
    """Make a result durable in the store, then in the datastore: when this returns the job is done.

    ``notices`` are what the worker says of it: a bounded number is kept, printable and cut.

    Raises WrongHash, NotAnImage, TooLarge, StaleLease, DiskFull, RetryLater.
    """
    file.name = job.original.file.name
    directory = directory_of(job.original.file.path)
    try:
        stored = await store.keep(file, directory, ImageType.FILTERED, job.result_id, controller.max_pixels)
    except WrongHash as error:
        await controller.accuse(by, job.lease, f"a result of another hash than it says (job {job.lease.job})")
        raise error
    said = tuple(map(_printable, islice(notices, MAX_NOTICES)))
    return await controller.commit_result(by, job.lease, evolve(stored, notices=said))


def _printable(notice: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in notice[:MAX_NOTICE])
