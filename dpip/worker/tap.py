"""Builds a worker, for ``twistd dpip-worker`` and for the process that embeds one."""

from __future__ import annotations

import os
import random
import re
import secrets
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from twisted.application.service import IService
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.threads import deferToThreadPool
from twisted.python import usage

from dpip.link.connector import Connector, controller_address, controller_endpoint, token_reader
from dpip.link.join_token import JoinToken
from dpip.runtime.clock import keep_timers_going
from dpip.runtime.gc import tune_gc
from dpip.runtime.logs import LOG_FORMAT_OPTION
from dpip.runtime.options import ProcessOptions, default_state_dir, name_process_files
from dpip.worker import resources
from dpip.worker.child_main import UNCONFINED
from dpip.worker.compute_pool import COMMAND, ComputePool
from dpip.worker.dask.address import ClusterAddress, check_secure, cluster_address, machine_of
from dpip.worker.dask.opening import check_installed, dask_engine
from dpip.worker.engine import EngineUnusable, IEngine
from dpip.worker.session import WorkerSession
from dpip.worker.spool import Spool, memory_directory

CLUSTER_PATIENCE: Final = 60.0
"""Seconds for which a Dask cluster may be away before its jobs are handed back."""
_WORD: Final = re.compile(r"[\w.@+-]{1,64}")


def unique_name() -> str:
    """Make up a name for a worker."""
    host = re.sub(r"[^\w.@+-]", "-", socket.gethostname())[:40] or "worker"
    return f"{host}-{secrets.token_hex(3)}"


def parse_tags(text: str) -> tuple[str, ...]:
    """Return ``gpu,fast`` as a tuple."""
    found = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    for word in found:
        if not _WORD.fullmatch(word):
            raise ValueError(f"{word!r} is no tag: letters, digits and . @ + - _ are allowed")
    return found


def parse_name(text: str) -> str:
    if not _WORD.fullmatch(text):
        raise ValueError(f"{text!r} is no worker's name: up to 64 letters, digits and . @ + - _ are allowed")
    return text


def parse_slots(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise ValueError("a number from 1 to 1024 is expected")
    return int(text)


class WorkerOptions(ProcessOptions):
    """``twistd dpip-worker``."""

    process_name: ClassVar[str] = "dpip-worker"

    synopsis = "[options]"
    longdesc = "A worker of DPIP: joins a controller and filters images for it."
    optParameters: ClassVar[list[list[Any]]] = [
        LOG_FORMAT_OPTION,
        [
            "controller",
            None,
            None,
            "The controller's port for workers: host or host:port [port: 8787].",
            controller_address,
        ],
        ["worker-name", None, None, "Unique among the controller's workers [default: made up].", parse_name],
        ["tags", None, (), "What workloads may ask of workers, e.g. gpu,fast.", parse_tags],
        ["slots", None, None, "Jobs computed at once [default: the number of cores].", parse_slots],
        [
            "engine",
            None,
            None,
            "What computes [default: this machine]: dask://host:8786, or dask+tls://…, makes a whole "
            "Dask cluster this worker.",
            cluster_address,
        ],
        [
            "state-dir",
            None,
            None,
            "Of a controller here: its join token [default: DPIP_STATE_DIR, or the user's].",
        ],
        ["join-token-file", None, None, "Where the controller's join token is [default: DPIP_JOIN_TOKEN]."],
        [
            "spool-dir",
            None,
            None,
            "For images on their way [default: memory for small ones, and the temporary directory].",
        ],
    ]

    optFlags: ClassVar[list[list[Any]]] = [
        ["log-jobs", None, "Log each job; there are many."],
        [
            "local-store",
            None,
            "Read and write images as files, if this is the controller's machine and user; else by HTTP.",
        ],
        ["insecure", None, "Take a Dask cluster elsewhere that has no TLS."],
        [
            "unconfined-filters",
            None,
            "Filters may use files, network and programs. Then a decoder with a hole may, too.",
        ],
    ]

    def postOptions(self) -> None:
        if not self["controller"]:
            raise usage.UsageError("--controller host:port is needed: where is the controller?")
        self._check_engine()
        self["worker-name"] = self["worker-name"] or unique_name()
        self["state-dir"] = Path(self["state-dir"] or default_state_dir()).absolute()
        # Made absolute now: a daemon may change directory before it reads them.
        for option in ("join-token-file", "spool-dir"):
            self[option] = Path(self[option]).absolute() if self[option] else None
        name_process_files(self, f"dpip-worker-{self['worker-name']}")

    def _check_engine(self) -> None:
        """Raises UsageError."""
        if self["engine"] is None:
            return
        if self["slots"] is not None:
            raise usage.UsageError("--slots: a Dask cluster has as many as its workers have threads")
        try:
            check_secure(self["engine"], bool(self["insecure"]))
            check_installed(self["engine"])
        except (ValueError, EngineUnusable) as error:
            raise usage.UsageError(f"--engine: {error}") from None


Options = WorkerOptions  # the name that twistd looks for


def makeService(options: WorkerOptions) -> IService:
    """Make the service for twistd."""
    from twisted.internet import reactor

    tune_gc()
    keep_timers_going(reactor)
    worker = make_worker(
        reactor,
        controller=controller_endpoint(reactor, options["controller"]),
        read_token=token_reader(options["join-token-file"], os.environ, options["state-dir"]),
        name=options["worker-name"],
        tags=options["tags"],
        slots=options["slots"],
        spool_dir=options["spool-dir"],
        local_store=bool(options["local-store"]),
        log_jobs=bool(options["log-jobs"]),
        command=(*COMMAND, UNCONFINED) if options["unconfined-filters"] else COMMAND,
        cluster=options["engine"],
    )
    worker.dismissed.addCallback(lambda _: reactor.stop())  # which drains it, as SIGTERM does
    return worker


def make_worker(
    reactor: Any,
    *,
    controller: IStreamClientEndpoint,
    read_token: Callable[[], JoinToken],
    name: str | None = None,
    tags: Sequence[str] = (),
    slots: int | None = None,
    spool_dir: Path | None = None,
    local_store: bool = False,
    log_jobs: bool = False,
    command: Sequence[str] = COMMAND,
    cluster: ClusterAddress | None = None,
) -> WorkerSession:
    """Build a worker. ``read_token`` is called for each attempt to join; see ``token_reader``.

    Raises EngineUnusable.
    """
    gpus = resources.Gpus()
    memory = None if spool_dir else memory_directory()
    spool = Spool(spool_dir or Path(tempfile.gettempdir()), memory=memory)
    engine: IEngine
    if cluster is not None:
        engine = dask_engine(reactor, cluster, CLUSTER_PATIENCE, UNCONFINED not in command)
    else:
        engine = ComputePool(
            reactor, time.monotonic, slots or resources.cores(), resources.job_memory(), command
        )
    return WorkerSession(
        connector=Connector(controller, read_token, reactor),
        worker_name=name or unique_name(),
        machine=resources.machine() if cluster is None else machine_of(cluster),
        tags=tuple(tags),
        cores=resources.cores(),
        gpus=gpus,
        engine=engine,
        spool=spool,
        sampler=resources.Sampler(gpus, spool.free),
        reactor=reactor,
        in_thread=lambda *call: deferToThreadPool(reactor, reactor.getThreadPool(), *call),
        jitter=random.random,
        local_store=local_store,
        log_jobs=log_jobs,
    )
