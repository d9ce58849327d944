"""Places of a workload's images, found and sorted."""

from __future__ import annotations

from attrs import evolve

from dpip.datastore import places
from dpip.model import ImageType, PlaceOrder, PlaceSelection
from tests.datastore.support import NOW, DatastoreTestCase, stored, worker, workload

NAMES = ("b/10.PNG", "b/2.png", None, "a.png", "Ä.png")


class PlacesTests(DatastoreTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(places, "_SLICE", 2)
        self.now(self.datastore.add_workload(workload(), None))
        for seq, name in enumerate(NAMES):
            file = evolve(stored(f"file{seq}", size=10 * (seq % 3)), name=name)
            self.now(self.datastore.add_originals("w1", [(f"i{seq}", f"r{seq}", file)], None, NOW))

    def found(self, **which: object) -> list[int]:
        return list(self.now(self.datastore.places("w1", PlaceSelection(**which))))  # type: ignore[arg-type]

    def test_by_place_name_and_size(self) -> None:
        self.assertEqual(self.found(), [0, 1, 2, 3, 4])
        self.assertEqual(self.found(order=PlaceOrder.NAME), [2, 3, 1, 0, 4])
        self.assertEqual(self.found(order=PlaceOrder.SIZE), [0, 3, 1, 4, 2])
        self.assertEqual(self.found(order=PlaceOrder.SEQ, descending=True), [4, 3, 2, 1, 0])

    def test_by_a_part_of_the_name_in_any_case(self) -> None:
        self.assertEqual(self.found(name="B/"), [0, 1])
        self.assertEqual(self.found(name="ä"), [4])
        self.assertEqual(self.found(name="%"), [])

    def test_only_those_that_failed_and_were_not_tried_again(self) -> None:
        self.joined(worker(), "127.0.0.1", NOW)
        for job in self.leased(1, 2, 4):
            self.now(self.datastore.fail(job.lease, "bad-picture", "torn", NOW))
        self.assertEqual(self.found(failed=True), [0, 1, 3])
        self.now(self.datastore.retry_images("w1", ["i1"], -1, NOW))
        self.assertEqual(self.found(failed=True, descending=True), [3, 0])

    def test_images_at_places(self) -> None:
        found = self.now(self.datastore.images_at("w1", ImageType.ORIGINAL, [3, 1, 99, 3]))
        self.assertEqual([image.id for image in found], ["i1", "i3"])
        self.assertEqual(self.now(self.datastore.images_at("w1", ImageType.FILTERED, [1])), [])
        self.assertEqual(self.now(self.datastore.images_at("w1", ImageType.ORIGINAL, [])), [])
