"""How much of a core do the reports of very many workers cost the controller?

A real controller in this process, worker-like peers in another, TLS between them; each peer reports every 5 s
as workers do (``dpip.worker.heartbeat``): every other report is answered, a sign that the controller lives.

``python -m bench.reports [--workers 1000] [--seconds 20] [--every 5]
[--record [FILE]]``
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from bench.agents import REPORT_SECONDS, Agents
from bench.controlling import Controlled, finally_stopped
from bench.record import add_option, keep


async def measure(reactor: Any, controlled: Controlled, options: argparse.Namespace) -> None:
    await controlled.start()
    heard = 0
    scheduler = controlled.parts.scheduler
    report = scheduler.worker_reported

    def counted(session: str, load: Any) -> None:
        nonlocal heard
        heard += 1
        report(session, load)

    scheduler.worker_reported = counted  # type: ignore[method-assign]
    service = controlled.service
    idle = await share(reactor, min(3.0, options.seconds))
    with Agents(service.workers_port, service.state, options.workers, 2, options.every):
        await controlled.until(lambda: heard >= options.workers)
        await deferLater(reactor, options.every)  # joining is over
        before = heard
        cpu = await share(reactor, options.seconds)
    rate = max(1, heard - before) / options.seconds
    print(f"{options.workers:,} workers, {rate:.0f} reports/s: {cpu - idle:.1%} of a core", end="")
    print(f" ({(cpu - idle) / rate * 1e6:.0f} µs each; idle {idle:.1%})")
    if options.record:
        keep("reports", {"workers": options.workers, "share": round(cpu - idle, 4)}, options.record)


async def share(reactor: Any, seconds: float) -> float:
    """Of a core that this process takes."""
    start, cpu = time.monotonic(), time.process_time()
    await deferLater(reactor, seconds)
    return (time.process_time() - cpu) / (time.monotonic() - start)


def main(reactor: Any, *arguments: str) -> Deferred[None]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--every", type=float, default=REPORT_SECONDS, help="seconds between two reports")
    add_option(parser)
    controlled = Controlled(reactor)
    return finally_stopped(controlled, measure(reactor, controlled, parser.parse_args(arguments)))


if __name__ == "__main__":
    react(main, sys.argv[1:])
