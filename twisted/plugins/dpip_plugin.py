"""The four commands that DPIP adds to twistd; nothing of dpip is imported before one of them is used."""

from twisted.application.service import ServiceMaker

dpip = ServiceMaker(
    "DPIP on one machine",
    "dpip.tap",
    "DPIP whole in one process: REST API, controller, scheduler and a worker.",
    "dpip",
)
dpip_controller = ServiceMaker(
    "DPIP controller",
    "dpip.controller.tap",
    "DPIP's REST API, controller and scheduler; workers join it.",
    "dpip-controller",
)
dpip_api = ServiceMaker(
    "DPIP API process",
    "dpip.api_process.tap",
    "DPIP's REST API in a process of its own, for a controller here or elsewhere.",
    "dpip-api",
)
dpip_worker = ServiceMaker(
    "DPIP worker",
    "dpip.worker.tap",
    "A DPIP worker: joins a controller and filters images for it.",
    "dpip-worker",
)
