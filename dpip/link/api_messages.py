"""Messages between an API process and the controller, and the JSON of calls and answers.

An API process is trusted: it sees passwords, and it says for whom it asks. So it joins by a secret of its own
(``dpip.link.certificates``), and its messages are checked for types, not for ranges as those of workers are
(``dpip.link.worker_messages``).

::

    controller root    serve(secret: bytes, hello: ApiHello, exchange)
                           -> (ApiWelcome, exchange) | (ApiRefusal, None)
    API process asks   the methods of IController in CALLS
             notifies  serving(url or None, scheme, port)   promised({user: bytes})
    controller asks    forget_tokens(user)
             notifies  elsewhere({user: bytes})

``serving`` says where workers reach it: at the url, or at that port of the host that its link comes from.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from inspect import Signature, signature
from operator import attrgetter
from types import FunctionType, NoneType
from typing import Any, get_args, get_type_hints

import cattrs
from attrs import field, fields, frozen, has, resolve_types
from twisted.internet.defer import Deferred
from zope.interface.interface import InterfaceClass

from dpip import errors, model
from dpip.errors import DpipError, RetryLater
from dpip.interfaces import IController
from dpip.link.codec import is_of
from dpip.model import Params

TRUSTED_SECONDS = 10.0
"""How long an API process believes a token or a workload's directory. The controller says when tokens die,
and commits nothing into a workload that is gone; this is for what another process changes in the database."""
PROTOCOL = 6
"""Changes whenever an old peer could misunderstand a new one."""


@frozen
class ApiHello:
    """An API process introduces itself."""

    protocol: int
    version: str
    filters: dict[str, str]  # name -> version
    hosts: tuple[str, ...]  # names for a certificate, if one is wanted
    wants_identity: bool
    shares_socket: bool  # it is the controller's own child, at the controller's own address


@frozen
class ApiWelcome:
    """The controller lets an API process join.

    ``proof`` is the name of a new file among the image store's incoming ones, and ``nonce`` its content: an
    API process that finds it there has the controller's own store, and no copy.
    """

    proof: str
    nonce: str
    max_pixels: int
    max_upload: int
    max_in_flight: int
    disk_floor: int
    identity: str | None = field(repr=False)  # PEM: key, certificate, authority


@frozen
class ApiRefusal:
    """Why an API process may not join; ``retry`` says whether trying again soon can help."""

    reason: str
    retry: bool


@frozen
class RemoteMethod:
    """A method that can be called over the link, with the types of its arguments and of its result."""

    name: str
    signature: Signature
    arguments: tuple[Any, ...]
    result: Any


def calls_of(interface: InterfaceClass) -> Mapping[str, RemoteMethod]:
    """Return every method of the interface, and of those it extends, that is annotated to return a Deferred.

    An interface with methods of its own ends with the ``taggedValue`` that ``IController`` ends with.
    """
    functions = [
        function
        for one in reversed(interface.__iro__)
        for function in one.queryDirectTaggedValue("functions", ())
    ]
    calls = [_call(function, get_type_hints(function)) for function in functions]
    return {call.name: call for call in calls if call is not None}


def _call(function: FunctionType, kinds: dict[str, Any]) -> RemoteMethod | None:
    answer = kinds.pop("return")
    if not is_of(answer, Deferred):
        return None
    [result] = get_args(answer)
    result = None if result is NoneType else result
    return RemoteMethod(function.__name__, signature(function), tuple(kinds.values()), result)


CALLS: Mapping[str, RemoteMethod] = calls_of(IController)


_converter = cattrs.Converter(detailed_validation=False)
_converter.register_unstructure_hook_factory(lambda kind: is_of(kind, frozenset), lambda _: sorted)

_converter.register_unstructure_hook(bytes, lambda data: b64encode(data).decode())
_converter.register_structure_hook(bytes, lambda text, _: b64decode(text))

# The values of dpip.model go as rows, without the names of their members. Members that are the same in JSON
# are copied in one step. That takes half the time of a dict, and half the bytes.

_AS_THEY_ARE = {str, int, float, bool, Params, str | None, int | None, float | None}


def _is_of_the_model(kind: Any) -> bool:
    return has(kind) and kind.__module__ == model.__name__


def _to_row(kind: Any) -> Callable[[Any], list[Any]]:
    members = fields(resolve_types(kind))
    values = attrgetter(*(member.name for member in members))
    hooks = [
        (place, _converter.get_unstructure_hook(member.type))
        for place, member in enumerate(members)
        if member.type not in _AS_THEY_ARE
    ]

    def to_row(value: Any) -> list[Any]:
        row = list(values(value)) if len(members) > 1 else [values(value)]
        for place, hook in hooks:
            row[place] = hook(row[place])
        return row

    return to_row


def _from_row(kind: Any) -> Callable[[list[Any], Any], Any]:
    members = fields(resolve_types(kind))
    hooks = [
        (place, _converter.get_structure_hook(member.type), member.type)
        for place, member in enumerate(members)
        if member.type not in _AS_THEY_ARE
    ]

    def from_row(row: list[Any], _: Any) -> Any:
        for place, hook, wanted in hooks:
            row[place] = hook(row[place], wanted)
        return kind(*row)

    return from_row


def _from_list(kind: Any) -> Callable[[list[Any], Any], tuple[Any, ...]]:
    """Make ``Sequence[T]``, ``tuple[T, ...]`` and ``tuple[A, B]``."""
    hooks = [(_converter.get_structure_hook(one), one) for one in get_args(kind) if one is not Ellipsis]
    if is_of(kind, Sequence) or Ellipsis in get_args(kind):
        [(hook, item)] = hooks
        return lambda values, _: tuple([hook(value, item) for value in values])
    return lambda values, _: tuple(
        [hook(value, wanted) for value, (hook, wanted) in zip(values, hooks, strict=True)]
    )


_converter.register_structure_hook_factory(
    lambda kind: is_of(kind, tuple) or is_of(kind, Sequence), _from_list
)
_converter.register_unstructure_hook_factory(_is_of_the_model, _to_row)
_converter.register_structure_hook_factory(_is_of_the_model, _from_row)


def plain(value: Any, kind: Any) -> Any:
    """Return the value as JSON has it."""
    return None if kind is None else _converter.unstructure(value, unstructure_as=kind)


def valued(data: Any, kind: Any) -> Any:
    """Return the value of this kind that JSON stands for. Raises what cattrs raises for anything else."""
    return None if kind is None else _converter.structure(data, kind)


def plain_arguments(call: RemoteMethod, arguments: Sequence[Any]) -> list[Any]:
    return [
        value if kind in _AS_THEY_ARE else plain(value, kind)
        for value, kind in zip(arguments, call.arguments, strict=True)
    ]


def arguments_of(call: RemoteMethod, data: Sequence[Any]) -> list[Any]:
    return [
        value if kind in _AS_THEY_ARE else valued(value, kind)
        for value, kind in zip(data, call.arguments, strict=True)
    ]


# Errors: by their code, which never changes


def _kinds(base: type[DpipError]) -> dict[str, type[DpipError]]:
    found = {base.code: base}
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            found |= _kinds(kind)
    return found


_KINDS = _kinds(DpipError)


def plain_error(error: DpipError) -> list[Any]:
    return [error.code, error.detail, error.members, error.retry_after or 0]


def error_of(code: str, detail: str, members: dict[str, Any], retry_after: int) -> DpipError:
    kind = _KINDS.get(code, DpipError)
    if issubclass(kind, RetryLater):
        return kind(detail, retry_after, **members)
    return kind(detail, **members)
