"""The address of a Dask cluster's scheduler: ``dask://host:8786``, or ``dask+tls://host:8786``."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from attrs import frozen

from dpip.runtime.addresses import is_loopback

PORT: Final = 8786
_ADDRESS: Final = re.compile(r"(dask|dask\+tls)://(\[[0-9a-fA-F:.]+\]|[\w.-]+)(?::(\d{1,5}))?/?")


@frozen
class ClusterAddress:
    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        return f"dask{'+tls' if self.tls else ''}://{self.host}:{self.port}"

    @property
    def scheduler(self) -> str:
        """The address in Dask's words."""
        return f"{'tls' if self.tls else 'tcp'}://{self.host}:{self.port}"


def cluster_address(text: str) -> ClusterAddress:
    """Parse the address. Raises ValueError."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[3] or PORT) > 65535:
        raise ValueError(f"{text!r} is no engine: dask://host:{PORT} or dask+tls://host:{PORT} is expected")
    return ClusterAddress(match[2], int(match[3] or PORT), tls=match[1] != "dask")


def machine_of(address: ClusterAddress) -> str:
    """Return an id that all workers over this cluster share, as those of one machine do."""
    return hashlib.sha256(str(address).encode()).hexdigest()[:32]


def check_secure(address: ClusterAddress, insecure: bool) -> None:
    """Raise ValueError if whoever listens on the way could take the cluster over, unless that is accepted."""
    if not address.tls and not insecure and not is_loopback(address.host.strip("[]")):
        raise ValueError(
            f"{address} is not encrypted, and whoever reaches a Dask scheduler can run any program on "
            f"its cluster. Use dask+tls://{address.host}:{address.port}, or "
            "--insecure in a network that you trust."
        )
