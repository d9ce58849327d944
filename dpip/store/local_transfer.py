"""Transfer directories in the image store: there workers on this machine leave their results.

Only the controller makes them, and no message of a worker names a path. The controller takes over only plain
files of its own user, of the size that the worker has said. It links a file to a second name; the first stays
until the worker removes it, so that a result that could not be kept can be sent over HTTP.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress

from attrs import define, field, frozen

from dpip.errors import NotFound
from dpip.link.worker_messages import ANSWER, PROOF
from dpip.store.incoming import TemporaryFile, os_errors_explained

_PROOF_BYTES = 32
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@define(eq=False)
class TakenFile(TemporaryFile):
    """A file that was taken over from a transfer directory."""

    claimed: str | None = field(kw_only=True)

    def __attrs_post_init__(self) -> None:
        with os_errors_explained():
            self._descriptor = os.open(self.path, _OPEN)

    def _hash_of(self, descriptor: int) -> str:
        with os.fdopen(os.dup(descriptor), "rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def check(self, size: int) -> None:
        """Raises NotFound unless it is a plain file of our own user, of this size."""
        assert self._descriptor is not None
        status = os.fstat(self._descriptor)
        plain = stat.S_ISREG(status.st_mode)
        if not plain or status.st_uid != os.geteuid() or status.st_size != size:
            raise NotFound(
                f"What lies in the worker's transfer directory is not a file of {size} bytes of the "
                "controller's own user."
            )
        os.fchmod(self._descriptor, 0o600)
        self.size = size


@frozen
class TransferDirectory:
    """``folder`` is the worker's; ``names()`` gives new names for files that are taken over."""

    folder: str
    names: Callable[[], str]
    _proof: bytes

    @classmethod
    def open(
        cls, folder: str, names: Callable[[], str], entropy: Callable[[int], bytes] = os.urandom
    ) -> TransferDirectory:
        """Make the directory, with a secret that only those can read who share our files.

        Raises DiskFull, RetryLater.
        """
        proof = entropy(_PROOF_BYTES)
        with os_errors_explained():
            os.makedirs(folder, mode=0o700)
            descriptor = os.open(os.path.join(folder, PROOF), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(proof)
        return cls(folder, names, proof)

    def check_answer(self) -> None:
        """Check that the worker has copied the secret, by taking the copy over as a result would be.

        Both files are gone then. Raises NotFound, RetryLater.
        """
        answer = self.take_file(ANSWER, len(self._proof), "")
        try:
            with open(answer.path, "rb") as file:
                if not hmac.compare_digest(file.read(), self._proof):
                    raise NotFound("The worker has not read what lies in its transfer directory.")
        finally:
            answer.abandon()
            for name in (PROOF, ANSWER):
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(self.folder, name))

    def take_file(self, name: str, size: int, sha256: str) -> TakenFile:
        """Take a file over. Raises NotFound when there is no such file of our user, RetryLater."""
        path = self.names()
        with os_errors_explained():
            try:
                os.link(os.path.join(self.folder, name), path, follow_symlinks=False)
            except FileNotFoundError:
                raise NotFound("There is no such file in the worker's transfer directory.") from None
            try:
                file = TakenFile(path, claimed=sha256)
            except BaseException:
                os.unlink(path)
                raise
        try:
            file.check(size)
        except BaseException:
            file.abandon()
            raise
        return file

    def remove(self) -> None:
        """Remove the directory with what is left there; it blocks. What comes late finds no folder."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.folder)
