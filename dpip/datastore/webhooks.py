"""Webhooks: which are to be called when a sealed workload has completed, and the attempts to call them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select, update

from dpip.datastore import workloads as workload_rows
from dpip.datastore.bulk import text
from dpip.datastore.rows import micros, seconds, select_workloads, workload_of
from dpip.datastore.schema import PENDING, deliveries, webhooks, workloads
from dpip.errors import Conflict, NotFound
from dpip.model import Delivery, DueWebhook, Webhook, WebhookState, Workload

_LOG = 100  # deliveries told of one workload; a completion has fewer attempts than that


def _row(workload_id: str) -> object:
    return (
        select(workloads.c.id)
        .where(workloads.c.public == text(workload_id), workloads.c.deleted.is_(None))
        .scalar_subquery()
    )


def seal(connection: Connection, workload_id: str, webhook: Webhook | None, now: float) -> Workload:
    """Seal the workload, and attach the webhook with the first sealing. Raises NotFound, and Conflict for
    another webhook than that."""
    workload, sealed_now = workload_rows.seal(connection, workload_id, now)
    if webhook is not None:
        _attach(connection, workload_id, webhook, sealed_now)
    return workload


def _attach(connection: Connection, workload_id: str, webhook: Webhook, sealed_now: bool) -> None:
    known = connection.execute(
        select(webhooks.c.url, webhooks.c.secret).where(webhooks.c.workload_id == _row(workload_id))
    ).one_or_none()
    if sealed_now and known is None:
        connection.execute(
            insert(webhooks).values(workload_id=_row(workload_id), url=webhook.url, secret=webhook.secret)
        )
    elif known is None or (known.url, known.secret) != (webhook.url, webhook.secret):
        raise Conflict(
            f"Workload {workload_id} is sealed already, without this webhook: it is given with the sealing."
        )


def reopen(connection: Connection, workload_id: str) -> None:
    """Have the webhook called again at the next completion: the workload runs again."""
    connection.execute(
        update(webhooks).where(webhooks.c.workload_id == _row(workload_id)).values(due=0, attempts=0)
    )


def due(connection: Connection, now: float, limit: int) -> tuple[Sequence[DueWebhook], bool]:
    some = connection.execute(
        select_workloads()
        .add_columns(webhooks.c.url, webhooks.c.secret, webhooks.c.attempts)
        .join(webhooks, webhooks.c.workload_id == workloads.c.id)
        .where(PENDING, webhooks.c.due <= micros(now), workloads.c.finished.is_not(None))
        .order_by(webhooks.c.due)
        .limit(limit)
    )
    found = [
        DueWebhook(workload_of(facts), Webhook(url, secret), attempts)
        for *facts, url, secret, attempts in some
    ]
    pending = connection.scalar(
        select(webhooks.c.workload_id)
        .join(workloads, workloads.c.id == webhooks.c.workload_id)
        .where(PENDING, workloads.c.deleted.is_(None))
        .limit(1)
    )
    return found, pending is not None


def delivered(
    connection: Connection, workload_id: str, delivery: Delivery, next_at: float | None, finished_at: float
) -> None:
    """Record an attempt, and when the next is due, if any. A workload reopened meanwhile stays pending."""
    row = connection.scalar(select(workloads.c.id).where(workloads.c.id == _row(workload_id)))
    if row is None:
        return
    connection.execute(
        insert(deliveries).values(
            workload_id=row,
            at=micros(delivery.at),
            attempt=delivery.attempt,
            status=delivery.status,
            error=None if delivery.error is None else text(delivery.error),
        )
    )
    still = select(workloads.c.id).where(workloads.c.id == row, workloads.c.finished == micros(finished_at))
    connection.execute(
        update(webhooks)
        .where(webhooks.c.workload_id.in_(still))
        .values(attempts=delivery.attempt, due=None if next_at is None else micros(next_at))
    )


def state(connection: Connection, workload_id: str) -> WebhookState:
    hook = connection.execute(
        select(webhooks.c.url, webhooks.c.due, workloads.c.finished)
        .join_from(webhooks, workloads, workloads.c.id == webhooks.c.workload_id)
        .where(workloads.c.public == text(workload_id), workloads.c.deleted.is_(None))
    ).one_or_none()
    if hook is None:
        raise NotFound(f"Workload {workload_id} has no webhook.")
    rows = connection.execute(
        select(deliveries.c.at, deliveries.c.attempt, deliveries.c.status, deliveries.c.error)
        .where(deliveries.c.workload_id == _row(workload_id))
        .order_by(deliveries.c.id.desc())
        .limit(_LOG)
    )
    log = [Delivery(seconds(at), attempt, status, error) for at, attempt, status, error in rows]
    next_at = seconds(hook.due) if hook.due and hook.finished is not None else None
    return WebhookState(hook.url, hook.due is not None, next_at, log)
