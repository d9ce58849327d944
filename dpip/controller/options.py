"""The command line options of ``dpip-controller``, and of ``dpip``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from twisted.python import usage

from dpip.runtime.logs import LOG_FORMAT_OPTION
from dpip.runtime.options import (
    TLS_NAMES_OPTION,
    ProcessOptions,
    address,
    certificate_hosts,
    check_openness,
    coerce_defaults,
    database_argument,
    database_from_environment,
    default_state_dir,
    name_process_files,
    size,
)


def days(text: str) -> float:
    value = float(text)
    if not 0 < value < 36500:
        raise ValueError(f"{text!r} is not a number of days above 0")
    return value


def hours(text: str) -> float:
    value = float(text)
    if not 0 < value <= 24 * 365:
        raise ValueError(f"{text!r} is not a number of hours above 0, a year at most")
    return value


def megapixels(text: str) -> int:
    """A number of megapixels, as pixels."""
    value = int(float(text) * 1_000_000)
    if not 1 <= value <= 2**40:
        raise ValueError(f"{text!r} is not a number of megapixels")
    return value


def processes(text: str) -> int:
    if not text.isdecimal() or int(text) > 64:
        raise ValueError("a number from 0 to 64 is expected")
    return int(text)


def hosts(text: str) -> frozenset[str]:
    """Names or addresses, each with or without a port."""
    return frozenset(word.strip().lower() for word in text.split(",") if word.strip())


class ControllerOptions(ProcessOptions):
    """Every option has a default with which the system is safe and works on one machine."""

    process_name: ClassVar[str] = "dpip-controller"

    optParameters: ClassVar[list[list[Any]]] = [
        LOG_FORMAT_OPTION,
        [
            "http",
            None,
            "127.0.0.1:8080",
            "Where the REST API listens: host:port or an endpoint string.",
            address,
        ],
        [
            "pb",
            None,
            "127.0.0.1:8787",
            "Where workers join, always over TLS: host:port or endpoint.",
            address,
        ],
        ["state-dir", None, None, "Database, images, keys [default: DPIP_STATE_DIR, or the user's]."],
        [
            "database",
            None,
            None,
            "postgresql://user@host/name [default: DPIP_DATABASE, or a file in --state-dir].",
            database_argument,
        ],
        ["store", None, None, "Where images are kept [default: images in --state-dir]."],
        ["api-url", None, None, "The API as workers reach it [default: the host they joined at]."],
        TLS_NAMES_OPTION,
        [
            "keep-days",
            None,
            None,
            "Delete workloads so many days after they finished [default: never].",
            days,
        ],
        ["max-upload", None, "1G", "Largest body of one upload.", size],
        ["max-megapixels", None, "100", "Largest picture, summed over its frames.", megapixels],
        ["quota", None, None, "Bytes each new user may keep, e.g. 50G [default: no limit].", size],
        ["disk-floor", None, "1G", "Uploads are refused when less than this is free.", size],
        ["api-processes", None, "0", "Processes that serve the API [default: this one does].", processes],
        [
            "webhook-hosts",
            None,
            "",
            "Hosts whose webhooks may be called, e.g. ci.example,10.0.0.5:8000.",
            hosts,
        ],
        ["job-seconds", None, "120", "Deadline for filtering one image.", float],
        [
            "certificate-hours",
            None,
            "24",
            "How long a worker's certificate is good; workers renew theirs at half of it.",
            hours,
        ],
    ]
    optFlags: ClassVar[list[list[Any]]] = [
        ["log-requests", None, "Log uploads and requests that only read, too; there are many."],
        ["http-tls", None, "Serve the API with TLS, by a certificate of the controller's own authority."],
        [
            "behind-proxy",
            None,
            "The API listens beyond loopback without TLS: a proxy in front of it adds that.",
        ],
    ]

    def postOptions(self) -> None:
        coerce_defaults(self)
        check_openness(self)
        if self["api-processes"] and self["http"].tls:
            raise usage.UsageError("--api-processes share a plain socket: use --http-tls instead of ssl:.")
        self["state-dir"] = Path(self["state-dir"] or default_state_dir()).absolute()
        self["store"] = Path(self["store"] or self["state-dir"] / "images").absolute()
        self["database"] = self["database"] or database_from_environment()
        name_process_files(self, self.process_name)

    def child_arguments(self, number: int, controller: str, socket: int) -> list[str]:
        """The arguments of API process ``number``, which joins at ``controller`` and finds its socket at the
        descriptor ``socket``."""
        daemon = self.parent is not None and not self.parent["nodaemon"]
        same = [f"--{flag}" for flag in ("log-requests", "http-tls", "behind-proxy") if self[flag]]
        return [
            *(["--logfile", f"dpip-api-{number}.log"] if daemon else []),
            "dpip-api",
            *("--controller", controller),
            *("--state-dir", str(self["state-dir"])),
            *("--store", str(self["store"])),
            *("--number", str(number)),
            *("--log-format", self["log-format"]),
            *("--inherited-socket", str(socket)),
            *(("--tls-names", ",".join(certificate_hosts(self))) if self["http-tls"] else ()),
            *same,
        ]
