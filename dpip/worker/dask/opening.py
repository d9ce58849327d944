"""Makes the engine over a Dask cluster, where Dask is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from dpip.worker.dask.address import ClusterAddress
from dpip.worker.engine import EngineUnusable

if TYPE_CHECKING:
    from dpip.worker.dask.engine import DaskEngine

MODULE: Final = "distributed"
EXTRA: Final = "pip install 'dpip[dask]'"


def check_installed(address: ClusterAddress) -> None:
    """Raise EngineUnusable if Dask is not installed."""
    if find_spec(MODULE) is None:
        raise EngineUnusable(f"{address} needs Dask, which is not installed here: {EXTRA}")


def dask_engine(reactor: Any, address: ClusterAddress, patience: float, confined: bool = True) -> DaskEngine:
    """Make the engine; nothing is connected yet. ``patience`` is how many seconds the cluster may be away.

    Raises EngineUnusable.
    """
    check_installed(address)
    from dpip.worker.dask.cluster import security
    from dpip.worker.dask.engine import DaskEngine

    return DaskEngine(reactor, address, patience, security(address), confined)
