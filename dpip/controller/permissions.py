"""Permissions: an admin may do everything, a user what is its own, a worker what its leases need.

What belongs to somebody else is answered as if it did not exist.
"""

from __future__ import annotations

from dpip.errors import DpipError, Forbidden, NotFound
from dpip.model import Principal, Role, Workload


def admins_only(by: Principal) -> None:
    if not by.is_admin:
        raise Forbidden("Only an admin may do this.")


def users_only(by: Principal) -> None:
    if by.role is Role.WORKER:
        raise Forbidden("A worker's token reaches only the jobs leased to it.")


def user_meant(by: Principal, user: str | None) -> str | None:
    """The user that is asked for (an admin: None is all users). Raises Forbidden for somebody else."""
    if by.is_admin:
        return user
    if user not in (None, by.name):
        raise Forbidden("Only an admin may do this for another user.")
    return by.name


def owned(by: Principal, workload: Workload | None, workload_id: str) -> Workload:
    """The workload, if it is there and the principal may see it. Raises NotFound, Forbidden."""
    users_only(by)
    if workload is None or not (by.is_admin or workload.owner == by.name):
        raise no_workload(workload_id)
    return workload


def no_workload(workload_id: str) -> DpipError:
    return NotFound(f"There is no workload {workload_id[:64]!r}.")


def no_image(reference: str) -> DpipError:
    return NotFound(f"There is no image {reference[:64]!r}.")
