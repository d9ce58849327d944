"""The whole system in this process, driven by our own client, in coroutines that pytest-twisted runs."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import pytest
import pytest_twisted
from PIL import Image
from twisted.internet import reactor

from dpip.client import ApiError, Client
from dpip.filters import process
from dpip.tap import EmbeddedService, ServiceOptions
from tests.frames import encoded
from tests.probe import watched

PASSWORD = "correct horse battery"
A_FEW_MILLISECONDS = 0.1
"""CPU seconds of the reactor's thread in one turn: 20 ms on a quiet machine, several times that on a busy
one whose caches are cold; code that blocks costs seconds."""


@pytest_twisted.async_yield_fixture(scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedService]:
    state: Path = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DPIP_ADMIN_PASSWORD", PASSWORD)
        options = ServiceOptions()
        options.parseOptions(["--state-dir", str(state), "--http", "0", "--pb", "0", "--slots", "1"])
        service = EmbeddedService(options, reactor)
        service.startService()
        await service.ready
    yield service
    await service.stopService()


@pytest_twisted.ensureDeferred
async def test_a_workload_by_our_own_client_gives_what_a_single_process_gives(
    system: EmbeddedService,
) -> None:
    frames = [encoded(number, 320, 200, "JPEG") for number in range(12)]
    async with Client(reactor, system.api_url) as dpip:
        await dpip.login("admin", PASSWORD)
        workload = await dpip.create_workload(filter="blur", params={"sigma": 3})
        await dpip.upload_many(workload.workload_id, [(f"{n}.jpg", frame) for n, frame in enumerate(frames)])
        done = await dpip.wait(workload.workload_id, every=0.05)
        assert done.status == "completed"
        results = [await dpip.download(image_id) for image_id in done.filtered_images]
        originals = await dpip.images(workload.workload_id, type="original")
    by_hash = {hashlib.sha256(frame).hexdigest(): frame for frame in frames}
    for original, result in zip(originals, results, strict=True):
        assert result == process(by_hash[original.sha256], "blur", {"sigma": 3}).data


@pytest_twisted.ensureDeferred
async def test_what_is_refused_arrives_as_a_sentence(system: EmbeddedService) -> None:
    async with Client(reactor, system.api_url) as dpip:
        await dpip.login("admin", PASSWORD)
        with pytest.raises(ApiError, match=r"Known filters: .*blur"):
            await dpip.create_workload(filter="blurr")


@pytest_twisted.ensureDeferred
async def test_the_reactor_never_stops_for_long_while_images_go_through(system: EmbeddedService) -> None:
    large = BytesIO()
    Image.effect_noise((3000, 2000), 40).save(large, "PNG", compress_level=1)
    files = [large.getvalue() if number % 5 == 0 else encoded(number) for number in range(20)]
    async with Client(reactor, system.api_url) as dpip:
        await dpip.login("admin", PASSWORD)
        workload = await dpip.create_workload(filter="grayscale")
        await dpip.upload(workload.workload_id, encoded(0), name="warm-up.png")
        await dpip.wait(workload.workload_id, every=0.05)
        with watched(reactor) as longest:
            for number, data in enumerate(files):
                await dpip.upload(workload.workload_id, data, name=f"{number}.png")
            done = await dpip.wait(workload.workload_id, every=0.05)
            await dpip.download(done.filtered_images[0])
    assert longest.seconds < A_FEW_MILLISECONDS
