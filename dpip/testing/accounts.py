"""Users and tokens in memory, with passwords that are not hashed."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from dpip.errors import BadCredentials, BadParameter, Conflict, Forbidden, NotFound, Unauthenticated
from dpip.model import Principal, Role, Token, TokenRecord, User

TOKEN_SECONDS = 3600.0


@define
class MemoryAccounts:
    """Accounts that begin with the admin ``admin``, password ``password``.

    ``clock`` gives seconds since the epoch.
    """

    clock: Callable[[], float]
    ids: Callable[[], str]
    _users: dict[str, tuple[User, str]] = field(factory=dict)
    _tokens: dict[str, tuple[Principal, float]] = field(factory=dict)
    _records: dict[str, TokenRecord] = field(factory=dict)  # by secret

    def __attrs_post_init__(self) -> None:
        self.add_user("admin", "password", Role.ADMIN, None)

    def login(self, name: str, password: str) -> Token:
        user, known = self._users.get(name, (None, None))
        if user is None or known != password:
            raise BadCredentials("The user name or the password is wrong.")
        return self.new_token(Principal(name, user.role, quota=user.quota))

    def new_token(
        self, principal: Principal, name: str | None = None, seconds: float = TOKEN_SECONDS
    ) -> Token:
        token = Token(f"token-{self.ids()}", principal.name, self.clock() + seconds)
        self._tokens[token.secret] = principal, token.expires_at
        record = TokenRecord(self.ids(), principal.name, name, self.clock(), token.expires_at)
        self._records[token.secret] = record
        return token

    def add_token(self, user: str, name: str, seconds: float) -> tuple[TokenRecord, Token]:
        if not name.strip() or len(name) > 64:
            raise BadParameter("A token's name has 1 to 64 characters.")
        known = self.user(user)
        token = self.new_token(Principal(user, known.role, quota=known.quota), name.strip(), seconds)
        return self._records[token.secret], token

    def tokens(self, user: str | None) -> list[TokenRecord]:
        found = [self._records[secret] for secret, (by, _) in self._tokens.items() if user in (None, by.name)]
        return sorted(found, key=lambda record: (record.name is None, -record.created_at))

    def revoke_token(self, token_id: str, user: str | None) -> TokenRecord:
        for secret, record in self._records.items():
            if record.id == token_id and secret in self._tokens and user in (None, record.user):
                del self._tokens[secret]
                return record
        raise NotFound(f"There is no token {token_id!r}.")

    def authenticate(self, secret: str) -> Principal:
        principal, expires_at = self._tokens.get(secret, (None, 0.0))
        if principal is None or expires_at <= self.clock():
            raise Unauthenticated("The token is not valid, or not any more.")
        return principal

    def logout(self, secret: str) -> None:
        self._tokens.pop(secret, None)

    def all_users(self) -> list[User]:
        return [self._users[name][0] for name in sorted(self._users)]

    def user(self, name: str) -> User:
        if name not in self._users:
            raise NotFound(f"There is no user {name!r}.")
        return self._users[name][0]

    def add_user(self, name: str, password: str, role: Role, quota: int | None) -> User:
        if role is Role.WORKER:
            raise BadParameter("A user is a 'user' or an 'admin'.")
        if len(password) < 8:
            raise BadParameter("A password has at least 8 characters.")
        if name in self._users:
            raise Conflict(f"There is a user {name!r} already.")
        user = User(name, role, self.clock(), quota, 0)
        self._users[name] = user, password
        return user

    def remove_user(self, name: str) -> None:
        user = self.user(name)
        if user.role is Role.ADMIN and sum(u.role is Role.ADMIN for u in self.all_users()) == 1:
            raise Conflict("The last admin stays.")
        del self._users[name]
        self._forget_tokens(name)

    def check_old_password(self, name: str, old_password: str | None) -> None:
        if old_password is None:
            raise BadParameter("The old password is needed.", parameter="old_password")
        if self._users[name][1] != old_password:
            raise Forbidden("The old password is wrong.")

    def set_password(self, name: str, password: str) -> None:
        self._users[name] = self.user(name), password
        self._forget_tokens(name)

    def _forget_tokens(self, name: str) -> None:
        for secret in [s for s, (principal, _) in self._tokens.items() if principal.name == name]:
            del self._tokens[secret]
