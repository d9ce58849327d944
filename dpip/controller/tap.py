"""Builds the controller: only here its parts are made and given to each other."""

from __future__ import annotations

import os
from collections.abc import Sequence

from twisted.application.service import Service

from dpip import __version__
from dpip.api.app import make_site
from dpip.controller.accounts import Accounts
from dpip.controller.api_processes import ApiProcesses, ApiTerms
from dpip.controller.certificates import Certificates
from dpip.controller.core import Controller
from dpip.controller.disk_watch import DiskWatch
from dpip.controller.feed import Feed
from dpip.controller.housekeeping import Housekeeping
from dpip.controller.join_tokens import JoinTokens
from dpip.controller.joining import JoinTerms
from dpip.controller.local_results import LocalResults
from dpip.controller.login_limits import network_of
from dpip.controller.options import ControllerOptions
from dpip.controller.passwords import Passwords
from dpip.controller.service import ControllerService, Parts
from dpip.controller.thumbnails import Thumbnails
from dpip.controller.webhooks import AllowedHosts, WebhookPoster, Webhooks
from dpip.controller.workers import Workers
from dpip.datastore.datastore import Datastore
from dpip.datastore.telemetry import Telemetry
from dpip.filters import registry
from dpip.interfaces import IIncomingFile
from dpip.link.api_messages import TRUSTED_SECONDS as API_TRUSTED_SECONDS
from dpip.model import Step
from dpip.runtime.clock import keep_timers_going
from dpip.runtime.gc import tune_gc
from dpip.runtime.host import Host
from dpip.runtime.ids import IdSource
from dpip.runtime.metrics import Meters
from dpip.runtime.startup import end_process
from dpip.scheduler.service import Scheduler
from dpip.store.admission import AdmissionControl, RetryAfterQueue
from dpip.store.image_store import ImageStore, directory_for

Options = ControllerOptions

_HASHING_THREADS = 1  # a password takes 4 cores for a while, a flood of them would take them all
_HASHING_NICE = 5
_ORPHAN_SECONDS = 2 * 3600.0  # a file without a row is an orphan after that: longer than the slowest upload
_UPLOADS_AT_ONCE = 4  # of the largest size; small ones by the thousand


def makeService(options: ControllerOptions) -> Service:
    """For twistd: a service that ends the process when it cannot start."""
    from twisted.internet import reactor

    tune_gc()
    keep_timers_going(reactor)
    service = ControllerService(options, reactor, build)
    service.ready.addErrback(end_process, reactor)
    return service


def build(service: ControllerService, host: Host | None = None) -> Parts:
    """Make all parts of a controller, without starting them; ``host`` is this machine unless it is given."""
    options, reactor, state = service.options, service.reactor, service.state
    host = host or Host()
    term = service.term
    check_leading = (lambda: None) if term is None else term.leadership.check
    ids = IdSource(host.wall_clock, host.entropy)
    meters = Meters()
    epoch = format(int(host.wall_clock() * 1000), "x")
    # The feed and the controller need each other, as the controller and the workers do: hence the lambdas.
    feed = Feed(reactor, lambda workload_id: controller.progress_of(workload_id), epoch)
    datastore = Datastore(
        service.database,
        reactor,
        host.make_threads,
        host.monotonic,
        changed=feed.workload_changed,
        commits=meters.commits,
        call_later=reactor.callLater,
    )
    telemetry = Telemetry(state / "telemetry.sqlite", reactor, host.make_threads)
    image_store = ImageStore(
        options["store"],
        reactor,
        host.make_threads,
        floor=options["disk-floor"],
        disk_usage=host.disk_usage,
        monotonic=host.monotonic,
        token=host.hexadecimal,
    )
    hashing = host.make_threads(_HASHING_THREADS, "passwords", _HASHING_NICE)
    accounts = Accounts(
        datastore=datastore,
        passwords=Passwords(reactor, hashing),
        clock=host.wall_clock,
        monotonic=host.monotonic,
        entropy=host.entropy,
    )
    scheduler = Scheduler(
        clock=reactor,
        datastore=datastore,
        new_nonce=ids,
        wants_gpu=_wants_gpu,
        monotonic=host.monotonic,
    )
    in_flight = _UPLOADS_AT_ONCE * options["max-upload"]
    admission = AdmissionControl(
        image_store.space, options["max-upload"], in_flight, RetryAfterQueue(host.monotonic)
    )
    disk = DiskWatch(usage=image_store.space.usage, floor=options["disk-floor"])
    webhooks = Webhooks(
        datastore=datastore,
        reactor=reactor,
        clock=host.wall_clock,
        post=WebhookPoster.of(reactor).post,
        allowed=AllowedHosts(options["webhook-hosts"]),
    )

    async def share_secrets() -> None:
        if term is not None:
            await term.share_secrets(datastore)

    controller = Controller(
        datastore=datastore,
        image_store=image_store,
        scheduler=scheduler,
        telemetry=telemetry,
        accounts=accounts,
        admission=admission,
        authenticate_worker=lambda token: workers.authenticate_worker(token),
        dismiss_worker=lambda name: workers.dismiss(name),
        restart_worker=lambda name: service.restart_worker(name),
        expel_worker=lambda name: workers.expel(name),
        accuse_worker=lambda by, what: workers.accuse(by, what),
        session_of_worker=lambda name: workers.session_of(name),
        disk_usage=lambda: image_store.space.usage(),
        tags_of_workers=lambda: workers.tags(),
        first_password_at=lambda: service.first_password_at,
        join_tokens=JoinTokens(service.authority.tokens, reactor, hashing, reactor.seconds, share_secrets),
        operator_warnings=lambda: disk.warnings,
        directory_for=directory_for,
        new_id=ids,
        clock=host.wall_clock,
        feed=feed,
        meters=meters,
        webhooks=webhooks,
        thumbnails=Thumbnails(lambda: workers.links(), ids, reactor, scheduler.lend_memory),
        max_pixels=options["max-megapixels"],
        default_quota=options["quota"],
        tokens_died=lambda user: apis.forget_tokens(user),
        check_leading=check_leading,
    )

    def mark_store(text: str) -> tuple[str, IIncomingFile]:
        mark = image_store.temporary_file()
        mark.write(text.encode())
        return os.path.basename(mark.path), mark

    apis = ApiProcesses(
        admit=lambda secret: service.authority.api_tokens.admit(secret, reactor.seconds()),
        controller=controller,
        put_mark=mark_store,
        new_nonce=host.secret,
        terms=_api_terms(service, admission),
        admission=admission,
        clock=reactor,
        moved=lambda url: workers.leave_api(url),
        check_leading=check_leading,
        forgotten_after=0.0 if term is None else API_TRUSTED_SECONDS,
    )
    workers = Workers(
        certificates=Certificates(
            authority=service.authority,
            datastore=datastore,
            clock=reactor,
            presented=service.presented,
            seconds=3600 * options["certificate-hours"],
        ),
        scheduler=scheduler,
        datastore=datastore,
        telemetry=telemetry,
        clock=reactor,
        new_id=ids,
        new_token=host.secret,
        terms=_terms(service, apis),
        local_results=LocalResults(controller, image_store),
        apis=apis,
        changed=feed.worker_changed,
        meters=meters,
    )
    housekeeping = Housekeeping(
        reactor=reactor,
        wall_clock=host.wall_clock,
        datastore=datastore,
        retire=controller.retire_workload,
        sweep=lambda: image_store.sweep(
            datastore.directories, datastore.paths, host.wall_clock() - _ORPHAN_SECONDS
        ),
        look_at_disk=disk.look,
        keep_days=options["keep-days"],
    )
    site = make_site(
        controller,
        image_store,
        registry,
        ids,
        reactor,
        now=host.wall_clock,
        behind_proxy=options["behind-proxy"],
        quiet=not options["log-requests"],
        check_login=lambda name, address: accounts.check_login(name, network_of(address)),
    )
    return Parts(
        datastore=datastore,
        telemetry=telemetry,
        image_store=image_store,
        hashing=hashing,
        accounts=accounts,
        scheduler=scheduler,
        workers=workers,
        apis=apis,
        feed=feed,
        webhooks=webhooks,
        site=site,
        housekeeping=housekeeping,
    )


def _wants_gpu(steps: Sequence[Step]) -> bool:
    return any(registry.find(name).uses_gpu for name, _ in steps)


def _api_terms(service: ControllerService, admission: AdmissionControl) -> ApiTerms:
    reactor = service.reactor
    return ApiTerms(
        version=__version__,
        filters=registry.versions(),
        max_upload=admission.max_upload,
        max_in_flight=admission.max_in_flight,
        disk_floor=service.options["disk-floor"],
        identity_for=lambda hosts: service.authority.identity_for(hosts, reactor.seconds()),
    )


def _terms(service: ControllerService, apis: ApiProcesses) -> JoinTerms:
    options = service.options
    return JoinTerms(
        version=__version__,
        filters=registry.versions(),
        max_pixels=options["max-megapixels"],
        api_url=lambda host: apis.url(host) or service.url_for(host),
        api_authority=service.authority.pem if options["http-tls"] else None,
        job_seconds=options["job-seconds"],
    )
