"""Requests made from the OpenAPI that a venue serves, right ones and wrong ones: no 5xx, and only answers that it says.

Sequencer, projector and gateway are processes; half of the requests carry a session's signature.
"""

import asyncio
import collections
import hashlib
import hmac
import sys
import time
from pathlib import Path

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from requests.auth import AuthBase
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from offchain.client import HooatsClient

sys.path.append(str(Path(__file__).parent))

from effort import CASES, SEED
from targets import venues_of_the_gateway

venues = venues_of_the_gateway()
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
NOT_HTTP = {"stream"}
"""Operations that end in a WebSocket."""
SECONDS_MAX = 10.0
"""For any answer."""


class Signed(AuthBase):
    """Headers of a session on every request."""

    def __init__(self, key: str, secret: str) -> None:
        self._key, self._secret, self._now = key, secret, 0

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        self._now = max(self._now + 1, time.time_ns() // 1_000_000 - 20_000)  # a signature is good once
        body = request.body or b""
        content = body.encode() if isinstance(body, str) else body
        signed = f"{self._now}{request.method}{request.path_url}".encode() + content
        sign = hmac.new(self._secret.encode(), signed, hashlib.sha256).hexdigest()
        request.headers.update({"HOOATS-KEY": self._key, "HOOATS-TIMESTAMP": str(self._now), "HOOATS-SIGN": sign})
        return request


def with_known(case: schemathesis.Case, known: dict[str, str]) -> None:
    """Puts what is there into the places that a random word would be in: what is behind a 404 is reached."""
    for place in (case.path_parameters, case.query, case.body):
        if isinstance(place, dict):
            place.update({name: value for name, value in known.items() if name in place})


def every_operation(url: str, auth: AuthBase, known: dict[str, str]) -> collections.Counter[int]:
    """Statuses of all answers."""
    operations = [found.ok() for found in schemathesis.openapi.from_url(f"{url}/v1/openapi.json").get_all_operations()]
    operations = [one for one in operations if one.definition.raw["operationId"] not in NOT_HTTP]
    statuses: collections.Counter[int] = collections.Counter()
    modes = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
    with_input = [one for one in operations if one.body or any(one.iter_parameters())]
    each = -(-CASES // len(with_input))  # of the others there is one
    with requests.Session() as http:
        for operation in operations:
            cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes))

            @seed(SEED)
            @settings(
                max_examples=each,
                database=None,
                deadline=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=cases, is_signed=st.booleans(), is_known=st.booleans())
            def answers_as_described(case: schemathesis.Case, is_signed: bool, is_known: bool) -> None:
                if is_known:
                    with_known(case, known)
                answer = case.call(session=http, auth=auth if is_signed else None, timeout=SECONDS_MAX)
                statuses[answer.status_code] += 1
                case.validate_response(answer, checks=CHECKS)

            answers_as_described()
    return statuses


@pytest.mark.timeout(0 if CASES > 2_000 else 240)
async def test_every_operation_answers_as_described() -> None:
    async with venues.run_served_venue(venues.KEYS[:2]) as venue:
        async with HooatsClient(venue.url, venues.KEYS[0]) as client:
            key, secret = await client.login()
            placed = await client.place("BTC-USDC", "sell", "50000", "0.01", client_order_id="fuzzed")
            known = {"symbol": "BTC-USDC", "account": client.address, "id": placed.order.id, "number": "1"}
            known |= {"sequence": str(placed.order.seq), "token": "USDC", "side": "buy", "size": "0.01", "amount": "1"}
        statuses = await asyncio.to_thread(every_operation, venue.url, Signed(key, secret), known)
        await venue.ready()
        print(f"{sum(statuses.values()):,} requests, seed {SEED}: {dict(sorted(statuses.items()))}")
        assert sum(statuses.values()) >= CASES
        assert statuses[200] and statuses[400] and statuses[401]
