"""DPIP for Python programs that use Twisted.

This whole program blurs two photographs and writes the results::

    from twisted.internet import task
    from dpip.client import Client

    async def main(reactor):
        async with Client(reactor, "http://127.0.0.1:8080") as dpip:
            await dpip.login("admin", "the password")
            workload = await dpip.create_workload(filter="blur", params={"sigma": 8})
            for photo in ("cat.jpg", "dog.jpg"):
                await dpip.upload(workload.workload_id, photo)
            done = await dpip.wait(workload.workload_id)
            for image in done.filtered_images:
                await dpip.download(image, to=f"{image}.jpg")

    task.react(main)

:mod:`dpip.client.blocking` has the same for programs that do not use Twisted.

Every failure is a :class:`ClientError` whose ``str()`` is a sentence for people: :class:`ApiError` when the
server refused, :class:`Unreachable` when there was no answer after several tries, :class:`Damaged` when a
download does not match its hash.
"""

from dpip.client.answers import Failed, Image, Session, Token, User, Workload
from dpip.client.bounded import gather_bounded
from dpip.client.client import Client
from dpip.client.downloads import Fetched
from dpip.client.errors import ApiError, ClientError, Damaged, NotDpip, Unreachable, Untrusted
from dpip.client.pipeline import Conveyor, Counts, Item, Parcel, Result, Sender, UploadPipeline

__all__ = [
    "ApiError",
    "Client",
    "ClientError",
    "Conveyor",
    "Counts",
    "Damaged",
    "Failed",
    "Fetched",
    "Image",
    "Item",
    "NotDpip",
    "Parcel",
    "Result",
    "Sender",
    "Session",
    "Token",
    "Unreachable",
    "Untrusted",
    "UploadPipeline",
    "User",
    "Workload",
    "gather_bounded",
]
