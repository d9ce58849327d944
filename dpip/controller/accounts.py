"""Users, their passwords and their tokens."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256

from attrs import Factory, define, field
from cachetools import LRUCache, TTLCache

from dpip.controller.login_limits import FailureLimit, LoginTurns, network_of
from dpip.controller.passwords import Passwords
from dpip.errors import BadCredentials, BadParameter, Forbidden, Unauthenticated
from dpip.interfaces import IDatastore
from dpip.model import Principal, Role, Token, TokenRecord, User

TOKEN_SECONDS = 7 * 24 * 3600.0
MAX_NAME = 64
MIN_PASSWORD, MAX_PASSWORD = 8, 1024
_CACHED_TOKENS = 10_000
_SEEN = 10_000  # pairs of a user and an address from which it has logged in
_MANY_LOGINS = "You have logged in very often. A token is good for many requests, so keep it"
_TRUSTED_SECONDS = 30.0
"""How long a token is trusted without asking the datastore: another process may change a password there."""


def check_name(name: str) -> str:
    """The name. Raises BadParameter for one that is not printable, has spaces at its ends, or contains ``:``,
    which Basic auth cannot carry."""
    if not name or len(name) > MAX_NAME or not name.isprintable() or name != name.strip() or ":" in name:
        raise BadParameter(
            f"A user name has 1 to {MAX_NAME} printable characters, no colon, and no space at its ends."
        )
    return name


def check_password(password: str) -> str:
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise BadParameter(f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters.")
    return password


@define
class Accounts:
    """``clock`` gives seconds since the epoch, ``monotonic`` seconds that never go back."""

    datastore: IDatastore
    passwords: Passwords
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    entropy: Callable[[int], bytes]
    by_account: FailureLimit = field(factory=lambda: FailureLimit(limit=10, window=60))
    by_address: FailureLimit = field(factory=lambda: FailureLimit(limit=50, window=60))
    by_strangers: FailureLimit = field(factory=lambda: FailureLimit(limit=50, window=25))
    successes: FailureLimit = field(factory=lambda: FailureLimit(limit=120, window=60, what=_MANY_LOGINS))
    turns: LoginTurns = field(factory=lambda: LoginTurns(limit=12, each=6))
    turns_of_seen: LoginTurns = field(factory=lambda: LoginTurns(limit=12, each=6))
    turns_of_account: LoginTurns = field(factory=lambda: LoginTurns(limit=12, each=2))
    changes: LoginTurns = field(factory=lambda: LoginTurns(limit=12, each=1))  # of one's own password
    _seen: LRUCache[tuple[str, str], bool] = field(factory=lambda: LRUCache(_SEEN), init=False)
    _tokens: TTLCache[bytes, tuple[Principal, float]] = field(  # with the time at which it expires
        default=Factory(
            lambda self: TTLCache(_CACHED_TOKENS, _TRUSTED_SECONDS, self.monotonic), takes_self=True
        ),
        init=False,
    )
    _epoch: int = field(default=0, init=False)  # grows whenever tokens die: a lookup under way must not cache

    async def login(self, name: str, password: str, address: str) -> Token:
        """Raises BadCredentials, TooManyRequests, RetryLater."""
        name, address = name[: MAX_NAME + 1], network_of(address)
        self.check_login(name, address)
        seen = (name, address) in self._seen
        if seen:
            with self.turns_of_seen.turn(address), self.turns_of_account.turn(name):
                verified = await self._verified_hash(name, password[: MAX_PASSWORD + 1])
        else:
            with self.turns.turn(address):
                verified = await self._verified_hash(name, password[: MAX_PASSWORD + 1])
        now, account = self.monotonic(), _account(name, address, seen)
        if verified is None:
            if not seen:
                self.by_address.happened(address, now)
                self.by_strangers.happened("", now)
            self.by_account.happened(account, now)
            raise BadCredentials("The user name or the password is wrong.")
        self.by_account.succeeded(account)
        self.successes.happened(name, now)
        self._seen[name, address] = True  # others' failures do not lock the user out at this address
        _, token = await self._new_token(name, verified=verified)
        return token

    def check_login(self, name: str, address: str) -> None:
        """Say whether a password of this user may be checked now; ``address`` is a network.

        Whoever has logged in from there before is limited by his own failures alone. For others, an address
        that has failed lately shares few guesses with all such addresses: hashing takes a processor.
        Raises TooManyRequests, RetryLater.
        """
        now, seen = self.monotonic(), (name, address) in self._seen
        self.by_account.check(_account(name, address, seen), now)
        self.successes.check(name, now)
        if seen:
            self.turns_of_seen.check(address)
            self.turns_of_account.check(name)
        else:
            self.by_address.check(address, now)
            if self.by_address.count(address, now):
                self.by_strangers.check("", now)
            self.turns.check(address)

    async def _verified_hash(self, name: str, password: str) -> str | None:
        """The user's password hash if the password is right. A wrong name takes as long as a right one."""
        found = await self.datastore.user(name) if len(name) <= MAX_NAME else None
        known = found[1] if found else None
        return known if await self.passwords.verify(password, known) else None

    async def issue_token(self, user: str, name: str, seconds: float) -> tuple[TokenRecord, Token]:
        """Make a token with a name, for programs. Raises BadParameter, NotFound."""
        if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
            raise BadParameter(f"A token's name has 1 to {MAX_NAME} printable characters.", parameter="name")
        return await self._new_token(user, name.strip(), seconds)

    async def _new_token(
        self,
        user: str,
        name: str | None = None,
        seconds: float = TOKEN_SECONDS,
        verified: str | None = None,
    ) -> tuple[TokenRecord, Token]:
        secret = urlsafe_b64encode(self.entropy(32)).rstrip(b"=").decode()
        now = self.clock()
        token = Token(secret, user, now + seconds)
        record = await self.datastore.add_token(_digest(secret), user, now, token.expires_at, name, verified)
        return record, token

    async def revoke_token(self, token_id: str, user: str | None) -> TokenRecord:
        """Raises NotFound, also for a token of another user than the one given."""
        record, digest = await self.datastore.revoke_token(token_id, user)
        self._forget_tokens(digest)
        return record

    async def authenticate(self, secret: str) -> Principal:
        """The holder of a token; one seen lately costs a dictionary look-up. Raises Unauthenticated."""
        digest = _digest(secret)
        known = self._tokens.get(digest)
        if known is None:
            known = await self._look_up(digest)
        if known is None or known[1] <= self.clock():
            raise Unauthenticated("The token is not valid, or not any more. Log in again with POST /login.")
        return known[0]

    async def _look_up(self, digest: bytes) -> tuple[Principal, float] | None:
        epoch = self._epoch
        found = await self.datastore.token(digest)
        if found is not None and epoch == self._epoch:  # else tokens have died meanwhile, perhaps this one
            self._tokens[digest] = found
        return found

    async def logout(self, secret: str) -> None:
        self._forget_tokens(_digest(secret))
        await self.datastore.remove_token(_digest(secret))
        self._forget_tokens(_digest(secret))

    async def add_user(self, name: str, password: str, role: Role, quota: int | None) -> User:
        """Raises BadParameter, Conflict, RetryLater."""
        check_name(name)
        if role is Role.WORKER:
            raise BadParameter("A user is a 'user' or an 'admin'; workers join with the join token.")
        if quota is not None and quota < 0:
            raise BadParameter("quota is a number of bytes, 0 or more; leave it out for no limit.")
        hashed = await self.passwords.hash(check_password(password))
        return await self.datastore.add_user(name, hashed, role, quota, self.clock())

    async def change_own_password(self, name: str, old: str | None, new: str) -> None:
        """As :meth:`set_password`, for a user that knows the old one: a stolen token does not suffice.

        Raises BadParameter, Forbidden, TooManyRequests.
        """
        if old is None:
            raise BadParameter("Give your old password too, as old_password.", parameter="old_password")
        account = f"{name}, changing its password"
        self.by_account.check(account, self.monotonic())
        with self.changes.turn(name):
            verified = await self._verified_hash(name, old[: MAX_PASSWORD + 1])
            if verified is None:
                self.by_account.happened(account, self.monotonic())
                raise Forbidden("The old password is wrong: nothing was changed.")
            await self.set_password(name, new, verified)

    async def set_password(self, name: str, password: str, verified: str | None = None) -> None:
        """All tokens of the user die. Raises BadParameter, NotFound."""
        hashed = await self.passwords.hash(check_password(password))
        await self.datastore.set_password(name, hashed, verified)
        self.forget_tokens_of(name)

    def forget_tokens_of(self, name: str) -> None:
        self._forget_tokens(*[digest for digest, (who, _) in self._tokens.items() if who.name == name])

    def _forget_tokens(self, *digests: bytes) -> None:
        self._epoch += 1
        for digest in digests:
            self._tokens.pop(digest, None)


def _account(name: str, address: str, seen: bool) -> str:
    """Return what failures are counted by: where the user has logged in before, those of others do not
    count."""
    return f"{name} at {address}" if seen else name


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()
