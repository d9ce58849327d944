"""Schemathesis against a real controller with a worker: no 5xx, and no answer outside the document.

    python -m tests.security.openapi [--cases 20000] [--seed 1]

Half of the cases are single requests, to every operation as many; the other half are chains, which follow the
document's links. Both have valid and invalid values in them, ids that other answers gave, and tokens of an
admin, of a user, of nobody. Where a case kills a token, or a user, there is soon another.
"""

from __future__ import annotations

import argparse
import itertools
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import requests
import schemathesis
from attrs import define, field
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Flaky, Unsatisfiable
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import Case, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.filters.pictures import natural, saved
from tests.system.plain_client import Answer, PlainClient
from tests.system.processes import PASSWORD, Cluster

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
STEPS: Final = 15  # of a chain
SECONDS: Final = 30.0  # for an answer
KEEPER: Final = "admin"
ACTORS: Final = {"root": "admin", "ann": "user"}
#: Members of answers that name things, and the parameters that take them.
NAMES: Final = {"workload_id": "workload_id", "image_id": "reference", "token_id": "token_id"}
_SHOWN: Final = 40


@schemathesis.serializer("application/vnd.dpip.batch")
def _as_it_is(context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@define
class Callers:
    """Who asks: the actors' tokens are made by an admin whom no case knows."""

    keeper: PlainClient
    _tokens: dict[str, str] = field(factory=dict)

    def headers(self, who: str) -> dict[str, str]:
        if who not in ACTORS:
            return {"Authorization": "Bearer forged"} if who == "forger" else {}
        if who not in self._tokens:
            self._tokens[who] = self._new_token(who)
        return {"Authorization": f"Bearer {self._tokens[who]}"}

    def renew(self, who: str) -> None:
        """The token has died."""
        self._tokens.pop(who, None)

    def _new_token(self, who: str) -> str:
        made = self._post("/tokens", f"name=cases&user={who}")
        if made.status == 404:
            self._post("/users", f"user={who}&password=password-of-{who}&role={ACTORS[who]}")
            made = self._post("/tokens", f"name=cases&user={who}")
        return str(made.json["token"])

    def _post(self, path: str, form: str) -> Answer:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self.keeper.request("POST", path, form.encode(), kind)
        if answer.status == 401:  # a case has found our token in the list of all tokens
            self.keeper.token = ""
            self.keeper.login(KEEPER, PASSWORD)
            answer = self.keeper.request("POST", path, form.encode(), kind)
        return answer


@define
class Judge:
    """Sends cases and remembers what was wrong with the answers."""

    base: str
    callers: Callers
    chance: random.Random
    wrong: list[str] = field(factory=list)
    statuses: Counter[int] = field(factory=Counter)
    reached: defaultdict[str, Counter[int]] = field(factory=lambda: defaultdict(Counter))
    _known: defaultdict[str, deque[str]] = field(factory=lambda: defaultdict(lambda: deque(maxlen=20)))
    _turns: Iterator[str] = field(
        factory=lambda: itertools.cycle(("root", "ann", "root", "ann", "root", "nobody", "ann", "forger"))
    )
    _session: requests.Session = field(factory=requests.Session)
    _picture: bytes = field(factory=lambda: saved(natural(12, 16), "PNG"))

    @property
    def count(self) -> int:
        return self.statuses.total()

    def examine(self, case: Case) -> None:
        who = self.prepare(case)
        self.judge(case, self.call(case, who), who)

    def prepare(self, case: Case) -> str:
        """Often with ids that there are, and a picture that is one. Who is to ask."""
        for parameter in set(NAMES.values()) & set(case.path_parameters or {}):
            if self._known[parameter] and self.chance.random() < 0.5:
                case.path_parameters[parameter] = self.chance.choice(self._known[parameter])
        if (case.path_parameters or {}).get("name") == KEEPER:
            case.path_parameters["name"] = "root"
        workloads = self._known["workload_id"]
        if isinstance(case.body, dict) and "data" in case.body and workloads and self.chance.random() < 0.7:
            case.body = {"data": self._picture, "workload_id": self.chance.choice(workloads)}
        return next(self._turns)

    def call(self, case: Case, who: str) -> Response:
        headers = self.callers.headers(who)
        response = case.call(self.base, session=self._session, headers=headers, timeout=SECONDS)
        self.statuses[response.status_code] += 1
        self.reached[case.operation.label][response.status_code] += 1
        return response

    def judge(self, case: Case, response: Response, who: str) -> None:
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as failures:
            self.wrong.append(f"{who}: {failures}")
        if response.headers.get("x-content-type-options") != ["nosniff"] or b"Traceback" in response.content:
            self.wrong.append(f"{who}: {case.as_curl_command()}: {response.headers}")
        self._learn(response)
        if response.status_code == 401 and b"not-logged-in" in response.content:
            self.callers.renew(who)

    def _learn(self, response: Response) -> None:
        kind = response.headers.get("content-type", [""])[0]
        answer = response.json() if response.status_code == 201 and kind == "application/json" else {}
        for member, parameter in NAMES.items():
            if isinstance(answer, dict) and isinstance(answer.get(member), str):
                self._known[parameter].append(answer[member])


def single(schema: Any, judge: Judge, cases: int, number: int) -> None:
    """As many for every operation."""
    operations = [found.ok() for found in schema.get_all_operations()]
    each = max(1, cases // (2 * len(operations)))
    for operation, mode in itertools.product(operations, (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)):

        @seed(number)
        @_settings(each)
        @given(operation.as_strategy(generation_mode=mode))
        def examine(case: Case) -> None:
            judge.examine(case)

        try:
            examine()
        except Unsatisfiable:  # nothing about it can be wrong
            continue


def chains(schema: Any, judge: Judge, cases: int, number: int) -> None:
    """Until there were so many cases in all."""

    class Machine(schema.as_state_machine()):  # type: ignore[misc]
        who = "nobody"

        def before_call(self, case: Case) -> None:
            self.who = judge.prepare(case)

        def call(self, case: Case, **_: Any) -> Response:
            return judge.call(case, self.who)

        def validate_response(self, response: Response, case: Case, **_: Any) -> None:
            judge.judge(case, response, self.who)

    one = settings(_settings(1), stateful_step_count=STEPS)
    for turn in itertools.count():
        if judge.count >= cases:
            return
        # The server remembers earlier chains, which Hypothesis finds fault with where it asks twice.
        with suppress(Flaky):
            run_state_machine_as_test(seed(number * 1_000_000 + turn)(Machine), settings=one)


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def examined(cases: int, number: int) -> Judge:
    """So many, or a few more, by this seed."""
    with Cluster() as cluster:
        cluster.start_controller()
        cluster.start_worker("w").wait_for_log("Joined")
        keeper = PlainClient(cluster.http)
        keeper.login(KEEPER, PASSWORD)
        base = f"http://127.0.0.1:{cluster.http}"
        schema = schemathesis.openapi.from_url(f"{base}/openapi.json")
        schema.config.generation.with_security_parameters = False  # who asks is our choice
        schema.config.max_stream_events = 1  # streams of events do not end by themselves
        judge = Judge(base, Callers(keeper), random.Random(number))
        single(schema, judge, cases // 2, number)
        chains(schema, judge, cases, number)
        return judge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    judge = examined(options.cases, options.seed)
    print(f"{judge.count:,} cases in {time.monotonic() - began:.0f} s: {dict(judge.statuses)}")
    for operation, statuses in sorted(judge.reached.items()):
        print(f"  {operation:45} {dict(sorted(statuses.items()))}")
    for one in judge.wrong[:_SHOWN]:
        print(f"WRONG {one}")
    print(f"{len(judge.wrong):,} wrong")
    if judge.wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
