"""Presets: filters and output under a name, for later workloads of the same user."""

from __future__ import annotations

from urllib.parse import quote

from attrs import define, evolve

from dpip.api.http.answers import Answer, json_answer
from dpip.api.http.auth import Access
from dpip.api.http.forms import Fields
from dpip.api.http.routes import ApiCall, Route
from dpip.api.specs import SpecReader
from dpip.api.views import preset_json
from dpip.errors import BadParameter
from dpip.interfaces import IController

_SAVED = ("filter", "params", "steps", "output", "tags")


MAX_NAME = 64


@define
class PresetRoutes:
    controller: IController
    specs: SpecReader

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/presets", Access.USERS, self.list_presets),
            Route("GET", "/presets/<path:name>", Access.USERS, self.show_preset),
            Route("PUT", "/presets/<path:name>", Access.USERS, self.save_preset),
            Route("DELETE", "/presets/<path:name>", Access.USERS, self.delete_preset),
        ]

    async def list_presets(self, call: ApiCall) -> Answer:
        """List the caller's own presets by name."""
        call.fields.only()
        return json_answer([preset_json(preset) for preset in await self.controller.presets(call.by)])

    async def show_preset(self, call: ApiCall, name: str) -> Answer:
        """Show one of the caller's own presets."""
        call.fields.only()
        return json_answer(preset_json(await self.controller.preset(call.by, name)))

    async def save_preset(self, call: ApiCall, name: str) -> Answer:
        """Keep filters, ``output`` and ``tags`` under a name: ``POST /workloads`` takes it as ``preset``.

        A name that is taken is a 409, unless ``force`` is true: then the new preset replaces the old one.
        """
        fields = call.fields
        fields.only(*_SAVED, "force")
        force = fields.boolean("force")
        asked = {key: fields.values[key] for key in _SAVED if key in fields.values}
        spec = evolve(self.specs.spec(Fields(asked)), name=_checked(name))
        preset = await self.controller.save_preset(call.by, spec, force)
        return json_answer(preset_json(preset), 201, {"Location": f"/presets/{quote(preset.name)}"})

    async def delete_preset(self, call: ApiCall, name: str) -> Answer:
        """Delete one of the caller's own presets; workloads that were made with it stay."""
        call.fields.only()
        await self.controller.delete_preset(call.by, name)
        return json_answer({"preset": name, "deleted": True})


def _checked(name: str) -> str:
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
        raise BadParameter(
            f"A preset's name has 1 to {MAX_NAME} printable characters, and no space at its ends.",
            parameter="preset",
        )
    return name
