"""What is asked of a workload, read from the fields of a request."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from attrs import frozen

from dpip.api.http.forms import Fields
from dpip.api.views import WORKLOAD_MEMBERS, filter_label
from dpip.errors import BadParameter, NotFound
from dpip.interfaces import IController
from dpip.model import Numbering, Params, Principal, Step, WorkloadSpec

DEFAULT_FILTER = "grayscale"
CONVERT = "convert"
MAX_NAME = 200
MAX_TAGS, MAX_TAG = 16, 64

_ASKED = ("filter", "steps", "workload_name", "params", "numbering", "tags", "output")
#: Parts of our own answers, which clients send back with the rest: harmless, so they are passed over.
_ANSWERED = tuple(name for name in WORKLOAD_MEMBERS if name not in _ASKED)


class Registry(Protocol):
    """The part of :mod:`dpip.filters.registry` that the API needs."""

    def names(self) -> list[str]: ...
    def describe(self) -> list[dict[str, Any]]: ...
    def validate(self, name: str, params: Any) -> Params: ...
    def validate_steps(self, steps: Any) -> list[Step]: ...
    def validate_output(self, output: Any) -> Params: ...
    def describe_output(self) -> list[dict[str, Any]]: ...


@frozen
class SpecReader:
    """A reader of what a workload or a preset shall be. ``now`` gives seconds since the epoch."""

    controller: IController
    registry: Registry
    now: Callable[[], float]

    async def wanted(self, by: Principal, fields: Fields) -> WorkloadSpec:
        """Read what is asked for, with the caller's preset. Raises BadParameter, UnknownFilter."""
        name = fields.text("preset")
        if name is None:
            return self.spec(fields)
        if {"filter", "params", "steps"} & set(fields.values):
            raise BadParameter("Give either a preset, or filters of your own.", parameter="preset")
        asked = {key: value for key, value in fields.values.items() if key != "preset"}
        preset = await self._preset(by, name)
        steps = [{"name": step, **params} for step, params in preset.steps]
        merged = {"steps": steps, "tags": list(preset.tags), **asked}
        merged["output"] = {**preset.output, **fields.object("output")}
        return self.spec(Fields(merged))

    async def _preset(self, by: Principal, name: str) -> WorkloadSpec:
        try:
            return (await self.controller.preset(by, name)).spec
        except NotFound as error:
            raise BadParameter(error.detail, parameter="preset") from error

    def spec(self, fields: Fields) -> WorkloadSpec:
        """Read what is asked for. Raises BadParameter, UnknownFilter."""
        if not fields.given:
            fields = Fields({"filter": DEFAULT_FILTER, "numbering": Numbering.FRAMES.value})
        fields.only(*_ASKED, passed_over=_ANSWERED)
        steps = self._steps(fields)
        return WorkloadSpec(
            name=_workload_name(fields) or self._generated_name(filter_label(steps)),
            steps=steps,
            tags=_tags(fields),
            output=self.registry.validate_output(fields.object("output")),
            numbering=fields.choice("numbering", Numbering) or Numbering.IDS,
        )

    def _steps(self, fields: Fields) -> tuple[Step, ...]:
        """Return the chain that is asked for; a single filter is a chain of one."""
        name, params, chain = fields.text("filter"), fields.object("params"), fields.array("steps")
        if chain:
            steps = tuple(self.registry.validate_steps(chain))
            # Both is fine when they say the same, as our own answers do.
            if name in (None, "", filter_label(steps)) and params in ({}, steps[0][1]):
                return steps
            raise BadParameter("Give either steps, each with its parameters, or one filter with params.")
        if name:
            return ((name, self.registry.validate(name, params)),)
        if fields.object("output") and not params:
            return ((CONVERT, self.registry.validate(CONVERT, {})),)
        available = self.registry.names()
        raise BadParameter(
            "filter is missing; without one, output says what to convert to. Known filters: "
            f"{', '.join(available)}.",
            parameter="filter",
            available=available,
        )

    def _generated_name(self, filter_name: str) -> str:
        return f"{filter_name} {datetime.fromtimestamp(self.now(), UTC):%Y-%m-%d %H:%M:%S}"


def _workload_name(fields: Fields) -> str | None:
    """Return any printable text, ``../../etc`` and emoji too: it is data, and never a path."""
    name = fields.text("workload_name")
    if name is None:
        return None
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME or any(unicodedata.category(c) in _CONTROL for c in name):
        raise BadParameter(
            f"workload_name has 1 to {MAX_NAME} characters, without control characters.",
            parameter="workload_name",
        )
    return name


_CONTROL = ("Cc", "Cs", "Zl", "Zp")


def _tags(fields: Fields) -> tuple[str, ...]:
    tags = fields.words("tags")
    if len(tags) > MAX_TAGS or not all(_is_tag(tag) for tag in tags):
        raise BadParameter(
            f"tags are at most {MAX_TAGS} words of 1 to {MAX_TAG} letters, digits, '-', '_' or '.'.",
            parameter="tags",
        )
    return tuple(dict.fromkeys(tags))


def _is_tag(tag: str) -> bool:
    return (
        1 <= len(tag) <= MAX_TAG
        and tag.isascii()
        and tag.replace("-", "").replace("_", "").replace(".", "").isalnum()
    )
