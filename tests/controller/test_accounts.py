"""Logging in while others try to keep it from being done."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dpip.controller.accounts import Accounts
from dpip.errors import BadCredentials, Forbidden, RetryLater, TooManyRequests
from dpip.model import Role, Token, TokenRecord, User
from dpip.runtime.coroutines import deferred

RIGHT = "the right password"


class Users:
    """A datastore with one user, ann; how often it was asked. The password stands for its hash."""

    def __init__(self) -> None:
        self.asked = 0
        self.stored = RIGHT

    def user(self, name: str) -> Deferred[tuple[User, str] | None]:
        self.asked += 1
        return succeed((User(name, Role.USER, 0.0, None, 0), self.stored) if name == "ann" else None)

    def add_token(
        self, digest: bytes, user: str, now: float, until: float, name: None, verified: str
    ) -> Deferred[TokenRecord]:
        if verified != self.stored:
            return fail(BadCredentials("The user name or the password is wrong."))
        return succeed(TokenRecord("t", user, name, now, until))


class Hashing:
    """Each verification waits until it is let go; ``work`` is what was verified against what."""

    def __init__(self) -> None:
        self.work: list[tuple[str, str | None]] = []
        self.waiting: list[Deferred[bool]] = []
        self.at_once = True

    async def verify(self, password: str, known: str | None) -> bool:
        self.work.append((password, known))
        if not self.at_once:
            self.waiting.append(Deferred())
            await self.waiting[-1]
        return password == known


class AccountsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.users, self.hashing = Users(), Hashing()
        neighbours: tuple[Any, Any] = self.users, self.hashing
        self.accounts = Accounts(*neighbours, self.clock.seconds, self.clock.seconds, os.urandom)

    @deferred
    async def login(self, name: str = "ann", password: str = RIGHT, address: str = "192.0.2.1") -> Token:
        return await self.accounts.login(name, password, address)

    def wrong(self, name: str, address: str) -> None:
        self.failureResultOf(self.login(name, "wrong", address), BadCredentials)


class ChangedMeanwhileTests(AccountsCase):
    def test_a_password_that_is_changed_while_it_is_verified_opens_nothing(self) -> None:
        self.hashing.at_once = False
        login = self.login()
        self.users.stored = "another password"
        self.hashing.waiting[0].callback(True)
        self.failureResultOf(login, BadCredentials)

    def test_old_passwords_are_not_guessed_by_a_stolen_token(self) -> None:
        for _ in range(10):
            self.failureResultOf(self.change("wrong"), Forbidden)
        self.failureResultOf(self.change(RIGHT), TooManyRequests)
        self.successResultOf(self.login())

    @deferred
    async def change(self, old: str) -> None:
        await self.accounts.change_own_password("ann", old, "another password")


class FloodTests(AccountsCase):
    def test_unknown_users_are_the_same_work(self) -> None:
        self.wrong("ann", "192.0.2.1")
        self.wrong("nobody", "192.0.2.1")
        self.assertEqual(self.hashing.work, [("wrong", RIGHT), ("wrong", None)])

    def test_an_address_with_many_failures_is_refused_before_any_work(self) -> None:
        for number in range(50):
            self.wrong(f"nobody{number}", "192.0.2.66")
        work, asked = len(self.hashing.work), self.users.asked
        refused = self.failureResultOf(self.login("nobody", "x", "192.0.2.66"), TooManyRequests).value
        self.assertEqual(refused.retry_after, 60)
        self.assertEqual((len(self.hashing.work), self.users.asked), (work, asked))
        self.successResultOf(self.login(address="192.0.2.1"))

    def test_one_address_cannot_take_every_turn(self) -> None:
        self.hashing.at_once = False
        under_way = [self.login(f"nobody{number}", "x", "192.0.2.66") for number in range(10)]
        refused = [self.failureResultOf(one, TooManyRequests) for one in under_way[6:]]
        self.assertEqual({failure.value.retry_after for failure in refused}, {1})
        honest = self.login(address="192.0.2.1")
        self.assertNoResult(honest)
        for waiting in self.hashing.waiting:
            waiting.callback(True)
        self.successResultOf(honest)
        for one in under_way[:6]:
            self.failureResultOf(one, BadCredentials)

    def test_many_addresses_find_a_bounded_number_of_turns(self) -> None:
        self.hashing.at_once = False
        under_way = [self.login("ann", "x", f"192.0.2.{number}") for number in range(100)]
        refused = [self.failureResultOf(one, RetryLater) for one in under_way[12:]]
        self.assertEqual({failure.value.retry_after for failure in refused}, {1})
        self.assertEqual((len(self.hashing.work), self.users.asked), (12, 12))
        for waiting in self.hashing.waiting:
            waiting.callback(True)
        for one in under_way[:12]:
            self.failureResultOf(one, BadCredentials)

    def test_who_has_logged_in_from_here_before_is_kept_out_by_nobody_elsewhere(self) -> None:
        self.successResultOf(self.login(address="192.0.2.1"))
        for number in range(10):
            self.wrong("ann", f"192.0.2.{number + 60}")
        self.failureResultOf(self.login(address="192.0.2.2"), TooManyRequests)
        self.hashing.at_once = False
        strangers = [self.login(f"nobody{number}", "x", f"192.0.2.{number + 60}") for number in range(30)]
        honest = self.login(address="192.0.2.1")
        for waiting in self.hashing.waiting:
            waiting.callback(True)
        self.successResultOf(honest)
        for one in strangers:
            self.failureResultOf(one, BadCredentials, RetryLater)

    def test_where_its_user_has_logged_in_before_guesses_are_limited_too(self) -> None:
        self.successResultOf(self.login())
        for _ in range(10):
            self.wrong("ann", "192.0.2.1")
        self.failureResultOf(self.login(), TooManyRequests)
        self.clock.advance(60)
        self.successResultOf(self.login())

    def test_addresses_of_one_ipv6_network_are_one(self) -> None:
        for number in range(50):
            self.wrong(f"user {number}", f"2001:db8::{number:x}")
        self.failureResultOf(self.login(address="2001:db8::ffff"), TooManyRequests)
        self.successResultOf(self.login(address="2001:db8:0:1::1"))
        self.successResultOf(self.login(address="::ffff:192.0.2.9"))

    def test_a_turn_ends_whatever_came_of_it(self) -> None:
        for number in range(40):
            self.wrong(f"nobody{number}", "192.0.2.66")
        self.successResultOf(self.login(address="192.0.2.66"))

    def test_who_has_logged_in_from_here_before_is_kept_out_by_nobody_at_the_same_address(self) -> None:
        self.successResultOf(self.login())
        for number in range(50):
            self.wrong(f"nobody{number}", "192.0.2.1")
        self.failureResultOf(self.login("nobody", "x"), TooManyRequests)
        self.successResultOf(self.login())

    def test_addresses_that_have_failed_share_few_guesses_and_others_have_their_own(self) -> None:
        for number in range(100):
            self.wrong(f"nobody{number}", f"198.51.100.{number}")
        for number in range(100):
            failure = self.failureResultOf(self.login(f"nobody{number}", "x", f"198.51.100.{number}"))
            self.assertIsInstance(failure.value, TooManyRequests)
        self.assertEqual(len(self.hashing.work), 100)
        self.successResultOf(self.login())
        self.clock.advance(25)
        self.wrong("nobody1", "198.51.100.1")

    def test_one_user_who_logs_in_without_end_leaves_turns_and_the_processor_to_others(self) -> None:
        for number in range(8):
            self.successResultOf(self.login(address=f"192.0.2.{number}"))
        self.hashing.at_once = False
        many = [self.login(address=f"192.0.2.{number}") for number in range(8)]
        self.assertEqual([one.called for one in many], [False] * 2 + [True] * 6)
        for waiting in self.hashing.waiting:
            waiting.callback(True)
        for one in many[2:]:
            self.failureResultOf(one, TooManyRequests)
        self.hashing.at_once = True
        for _ in range(110):
            self.successResultOf(self.login())
        self.failureResultOf(self.login(), TooManyRequests)
        self.clock.advance(60)
        self.successResultOf(self.login())

    def test_a_user_changes_one_password_at_a_time(self) -> None:
        self.hashing.at_once = False
        changes = [
            Deferred.fromCoroutine(self.accounts.change_own_password("ann", "wrong", "another password"))
            for _ in range(20)
        ]
        self.assertEqual(len(self.hashing.waiting), 1)
        self.hashing.waiting[0].callback(True)
        self.failureResultOf(changes[0], Forbidden)
        for change in changes[1:]:
            self.failureResultOf(change, TooManyRequests)
