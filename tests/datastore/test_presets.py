"""Presets in the database."""

from __future__ import annotations

from attrs import evolve

from dpip.datastore import presets
from dpip.errors import Conflict, NotFound, TooMany
from dpip.model import Preset, Role
from tests.datastore.support import NOW, DatastoreTestCase, spec


class PresetTests(DatastoreTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.now(self.datastore.add_user("bob", "hash", Role.USER, None, NOW))

    def names(self, owner: str = "bob") -> list[str]:
        return [preset.name for preset in self.now(self.datastore.presets(owner))]

    def test_it_survives_and_is_its_owners_alone(self) -> None:
        kept = spec("web", tags=("gpu",), output={"quality": 82})
        saved = self.now(self.datastore.save_preset("bob", kept, False, NOW))
        self.assertEqual(saved, Preset("web", kept, NOW))
        self.assertEqual(self.now(self.opened().preset("bob", "web")), saved)
        self.refused(self.datastore.preset("ann", "web"), NotFound)
        self.refused(self.datastore.delete_preset("ann", "web"), NotFound)
        self.now(self.datastore.delete_preset("bob", "web"))
        self.assertEqual(self.names(), [])

    def test_a_name_is_taken_over_only_by_force(self) -> None:
        self.now(self.datastore.save_preset("bob", spec("web"), False, NOW))
        other = evolve(spec("web"), tags=("gpu",))
        self.refused(self.datastore.save_preset("bob", other, False, NOW), Conflict)
        self.now(self.datastore.save_preset("bob", other, True, NOW + 1))
        self.assertEqual(self.now(self.datastore.preset("bob", "web")).spec.tags, ("gpu",))

    def test_there_are_not_more_than_can_be_looked_through(self) -> None:
        self.patch(presets, "MOST", 2)
        for name in "ba":
            self.now(self.datastore.save_preset("bob", spec(name), False, NOW))
        self.refused(self.datastore.save_preset("bob", spec("c"), False, NOW), TooMany)
        self.now(self.datastore.save_preset("bob", spec("a"), True, NOW))
        self.assertEqual(self.names(), ["a", "b"])

    def test_they_go_with_their_user(self) -> None:
        self.now(self.datastore.save_preset("bob", spec("web"), False, NOW))
        self.now(self.datastore.remove_user("bob", NOW))
        self.assertEqual(self.rows("SELECT count(*) FROM presets"), [(0,)])
