"""Logins and request signatures: what opens a private route, and what does not."""

import asyncio
import base64
import hashlib
import hmac
import struct
import time

import httpx
import msgspec
import pytest
from conftest import KEYS
from gateway_stub import CHAIN_ID, COMMITMENT, SETTLEMENT

from offchain.client import Refused
from offchain.client.orders import Signer
from offchain.domain import eip712
from offchain.domain.errors import ConfigurationError
from offchain.domain.event import AgentChanged
from offchain.domain.limits import SESSION_LIFETIME_SECONDS
from offchain.domain.units import from_hex
from offchain.gateway.directory import Directory
from offchain.gateway.failures import ApiError
from offchain.gateway.revocations import Revocations
from offchain.gateway.routes import ROUTES
from offchain.gateway.sessions import SEEN_MAX, WINDOW_MILLIS, Sessions, SpentMarks

ALICE, BOB = Signer(KEYS[0]), Signer(KEYS[1])
SEPARATOR = eip712.domain_separator(CHAIN_ID, SETTLEMENT)
NOW = 1_800_000_000_000
SECONDS = NOW // 1000
SERVER_KEY = bytes(32)


@pytest.fixture
def revocations(tmp_path) -> Revocations:
    return Revocations(tmp_path / "session.revoked", SECONDS)


@pytest.fixture
def spent(tmp_path) -> SpentMarks:
    return SpentMarks(tmp_path / "spent")


@pytest.fixture
def directory() -> Directory:
    """That was told how the venue stands."""
    directory = Directory()
    directory.is_loaded = True
    return directory


@pytest.fixture
def sessions(spent, revocations, directory) -> Sessions:
    return made(spent, revocations, directory=directory)


def made(
    spent: SpentMarks, revocations: Revocations, key: bytes = SERVER_KEY, directory: Directory | None = None
) -> Sessions:
    return Sessions(key, SEPARATOR, spent, revocations, (directory or Directory()).is_agent)


def sign(secret: str, timestamp: int | str, request: bytes) -> str:
    return hmac.digest(secret.encode(), str(timestamp).encode() + request, hashlib.sha256).hex()


def check(sessions: Sessions, issued, *, request=b"GET/v1/orders", at=NOW, now=NOW, key=None, signature=None):
    signature = signature or sign(issued.secret, at, request)
    return sessions.check(key or issued.api_key, str(at), signature, b"GET/v1/orders", now)


def code_of(call) -> str:
    with pytest.raises(ApiError) as caught:
        call()
    return caught.value.code


def test_a_session_opens_for_its_account(sessions) -> None:
    issued = sessions.issue(ALICE.address, SECONDS, SECONDS + 60, NOW)
    assert check(sessions, issued).account == ALICE.address


def test_a_session_survives_a_restart(sessions, revocations) -> None:
    issued = sessions.issue(ALICE.address, SECONDS, SECONDS + 60, NOW)
    assert check(made(sessions._spent, revocations), issued).account == ALICE.address
    stranger = made(sessions._spent, revocations, b"\x01" * 32)
    assert code_of(lambda: check(stranger, issued)) == "UNAUTHENTICATED"


@pytest.mark.parametrize("request_", [b"GET/v1/orders?limit=1", b"DELETE/v1/orders", b"GET/v1/orders{}", b""])
def test_the_signature_covers_method_path_query_and_body(sessions, request_) -> None:
    issued = sessions.issue(ALICE.address, SECONDS, SECONDS + 60, NOW)
    assert code_of(lambda: check(sessions, issued, request=request_)) == "UNAUTHENTICATED"


@pytest.mark.parametrize("signature", ["00" * 32, "", "xyz", "é"])
def test_wrong_hmac(sessions, signature) -> None:
    issued = sessions.issue(ALICE.address, SECONDS, SECONDS + 60, NOW)
    check_it = lambda: sessions.check(issued.api_key, str(NOW), signature, b"GET/v1/orders", NOW)  # noqa: E731
    assert code_of(check_it) == "UNAUTHENTICATED"


def test_an_invented_key_has_no_known_secret(sessions) -> None:
    """Anybody can write down a key for any account; its secret needs the server's key."""
    mine, victim = (sessions.issue(who.address, SECONDS, SECONDS + 60, NOW) for who in (BOB, ALICE))
    assert code_of(lambda: check(sessions, mine, key=victim.api_key)) == "UNAUTHENTICATED"
    longer = sessions.issue(BOB.address, SECONDS, SECONDS + 61, NOW)
    assert code_of(lambda: check(sessions, mine, key=longer.api_key)) == "UNAUTHENTICATED"


@pytest.mark.parametrize("key", ["", "x", "é", "AAAA", "A" * 1000], ids=["none", "x", "accent", "short", "long"])
def test_malformed_key(sessions, key) -> None:
    assert code_of(lambda: sessions.check(key, str(NOW), "00" * 32, b"", NOW)) == "UNAUTHENTICATED"


@pytest.mark.parametrize("timestamp", ["", "-1", "1.5", "NaN", "9" * 30, "١٢"])
def test_malformed_timestamp(sessions, timestamp) -> None:
    issued = sessions.issue(ALICE.address, SECONDS, SECONDS + 60, NOW)
    signature = sign(issued.secret, timestamp, b"")
    assert code_of(lambda: sessions.check(issued.api_key, timestamp, signature, b"", NOW)) == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("off", "is_open"),
    [(WINDOW_MILLIS, True), (-WINDOW_MILLIS, True), (WINDOW_MILLIS + 1, False), (-WINDOW_MILLIS - 1, False)],
)
def test_the_window_of_a_timestamp(sessions, off, is_open) -> None:
    issued = sessions.issue(ALICE.address, SECONDS, SECONDS + 600, NOW)
    if is_open:
        check(sessions, issued, at=NOW + off)
    else:
        assert code_of(lambda: check(sessions, issued, at=NOW + off)) == "TIMESTAMP_OUT_OF_WINDOW"


def test_an_expired_session(sessions) -> None:
    issued = sessions.issue(ALICE.address, SECONDS, SECONDS + 60, NOW)
    later = NOW + 60_000
    check(sessions, issued, at=later, now=later - 1)
    assert code_of(lambda: check(sessions, issued, at=later, now=later)) == "SESSION_EXPIRED"


def test_a_mutation_is_taken_once(sessions) -> None:
    sessions.spend("ab" * 32, NOW, NOW)
    assert code_of(lambda: sessions.spend("AB" * 32, NOW, NOW + WINDOW_MILLIS)) == "REPLAYED"
    sessions.spend("cd" * 32, NOW, NOW)


def test_a_mutation_is_taken_once_by_all_gateways_that_share_a_folder(tmp_path, revocations) -> None:
    """Also by one that starts again."""
    gateways = [made(SpentMarks(tmp_path / "spent"), revocations) for _ in range(3)]
    for number in range(30):
        gateways[number % 3].spend(f"{number:064x}", NOW, NOW)
        for other in gateways:
            assert code_of(lambda other=other, number=number: other.spend(f"{number:064x}", NOW, NOW)) == "REPLAYED"


def test_marks_are_removed_when_no_gateway_takes_their_time_any_more(tmp_path) -> None:
    spent = SpentMarks(tmp_path / "spent")
    for step in range(20):
        now = NOW + step * WINDOW_MILLIS
        for off in (-WINDOW_MILLIS, 0, WINDOW_MILLIS):
            mark = f"{step:032x}{off + WINDOW_MILLIS:032x}"
            assert spent.take(bytes.fromhex(mark), now + off, now)
            assert not spent.take(bytes.fromhex(mark), now + off, now)
        assert len(list((tmp_path / "spent").iterdir())) <= 5
    for off in (-WINDOW_MILLIS, 0, WINDOW_MILLIS):
        mark = f"{step:032x}{off + WINDOW_MILLIS:032x}"
        assert not SpentMarks(tmp_path / "spent").take(bytes.fromhex(mark), now + off, now + off + WINDOW_MILLIS)


def test_what_is_remembered_is_bounded_and_fails_closed(sessions, monkeypatch) -> None:
    monkeypatch.setattr("offchain.gateway.sessions.SEEN_MAX", 3)
    for number in range(3):
        sessions.spend(f"{number:064x}", NOW, NOW)
    assert code_of(lambda: sessions.spend("ff" * 32, NOW, NOW)) == "RATE_LIMITED"
    sessions.spend("ff" * 32, NOW + WINDOW_MILLIS, NOW + WINDOW_MILLIS)
    assert SEEN_MAX > 1000


@pytest.mark.parametrize(
    ("issued_at", "expiry", "code"),
    [
        (SECONDS - 31, SECONDS + 60, "TIMESTAMP_OUT_OF_WINDOW"),
        (SECONDS + 31, SECONDS + 60, "TIMESTAMP_OUT_OF_WINDOW"),
        (SECONDS, SECONDS, "INVALID_FIELD"),
        (SECONDS, SECONDS - 1, "INVALID_FIELD"),
        (SECONDS, SECONDS + SESSION_LIFETIME_SECONDS + 1, "INVALID_FIELD"),
    ],
)
def test_login_times(sessions, issued_at, expiry, code) -> None:
    assert code_of(lambda: sessions.login_digest(ALICE.address, issued_at, expiry, NOW)) == code


# --- ended early ---


def test_a_session_is_ended_alone(sessions) -> None:
    first, second = (sessions.issue(ALICE.address, SECONDS, SECONDS + n, NOW) for n in (60, 61))
    sessions.end(first.api_key, second.session, NOW)
    assert code_of(lambda: check(sessions, first)) == "SESSION_REVOKED"
    check(sessions, second)
    assert code_of(lambda: sessions.issue(ALICE.address, SECONDS, SECONDS + 60, NOW)) == "SESSION_REVOKED"


def test_all_sessions_of_an_account_are_ended(sessions) -> None:
    mine = [sessions.issue(ALICE.address, SECONDS - n, SECONDS + 60, NOW) for n in range(3)]
    other = sessions.issue(BOB.address, SECONDS, SECONDS + 60, NOW)
    sessions.end_all(ALICE.address, NOW)
    assert {code_of(lambda issued=issued: check(sessions, issued)) for issued in mine} == {"SESSION_REVOKED"}
    check(sessions, other)
    check(sessions, sessions.issue(ALICE.address, SECONDS + 1, SECONDS + 60, NOW))


def test_nobody_ends_another_account_s_session(sessions) -> None:
    issued, other = (sessions.issue(who.address, SECONDS, SECONDS + 60, NOW) for who in (ALICE, BOB))
    for key in (issued.api_key, "rubbish", ""):
        assert code_of(lambda key=key: sessions.end(key, other.session, NOW)) == "NOT_FOUND"
    check(sessions, issued)


def test_what_was_ended_stays_ended_after_a_restart_and_at_every_gateway(sessions, tmp_path) -> None:
    other = made(sessions._spent, Revocations(tmp_path / "session.revoked", SECONDS))
    issued = [sessions.issue(ALICE.address, SECONDS, SECONDS + n, NOW) for n in (60, 61)]
    over = []
    other.watch(other.check(issued[0].api_key, str(NOW), sign(issued[0].secret, NOW, b""), b"", NOW), over.append)
    other._watchers = {lambda: over.append("ended"): session for session in other._watchers.values()}
    sessions.end(issued[0].api_key, issued[1].session, NOW)
    other.refresh(NOW)
    assert over == ["ended"]
    assert code_of(lambda: check(other, issued[0])) == "SESSION_REVOKED"
    check(other, issued[1])
    other.end(issued[1].api_key, issued[1].session, NOW)
    sessions.refresh(NOW)
    assert code_of(lambda: check(sessions, issued[1])) == "SESSION_REVOKED"
    again = made(sessions._spent, Revocations(tmp_path / "session.revoked", SECONDS))
    assert {code_of(lambda one=one: check(again, one)) for one in issued} == {"SESSION_REVOKED"}


def test_ended_sessions_are_forgotten_when_they_would_have_expired(sessions, tmp_path) -> None:
    issued = sessions.issue(ALICE.address, SECONDS, SECONDS + 60, NOW)
    sessions.end(issued.api_key, issued.session, NOW)
    sessions.end_all(BOB.address, NOW)
    file = tmp_path / "session.revoked"
    assert len(file.read_bytes().splitlines()) == 2
    Revocations(file, SECONDS + 60)
    assert len(file.read_bytes().splitlines()) == 1
    Revocations(file, SECONDS + 2 + SESSION_LIFETIME_SECONDS)
    assert file.read_bytes() == b""


def test_a_torn_line_is_dropped_and_a_damaged_one_keeps_it_from_starting(sessions, tmp_path) -> None:
    sessions.end_all(ALICE.address, NOW)
    file = tmp_path / "session.revoked"
    with file.open("ab") as torn:
        torn.write(b'{"until": 1')
    assert Revocations(file, SECONDS).is_revoked("", ALICE.address, SECONDS)
    file.write_bytes(b"rubbish\n")
    with pytest.raises(ConfigurationError, match=r"session\.revoked is damaged"):
        Revocations(file, SECONDS)


def test_who_ends_too_many_one_by_one_ends_all(sessions, monkeypatch) -> None:
    monkeypatch.setattr("offchain.gateway.revocations.REVOKED_PER_ACCOUNT_MAX", 3)
    issued = [sessions.issue(ALICE.address, SECONDS, SECONDS + 60 + n, NOW) for n in range(6)]
    for one in issued[:4]:
        sessions.end(one.api_key, one.session, NOW)
    assert {code_of(lambda one=one: check(sessions, one)) for one in issued} == {"SESSION_REVOKED"}


# --- of agents ---


def entitle(directory: Directory, *, expiry: int = SECONDS + 30, is_revoked: bool = False) -> None:
    terms = AgentChanged(
        account=ALICE.address, agent=BOB.address, expiry=expiry, notional=1, markets=(), is_revoked=is_revoked
    )
    directory.learn(terms)


def test_a_session_of_an_agent_lives_as_long_as_the_agent(sessions, directory) -> None:
    issue = lambda: sessions.issue(ALICE.address, SECONDS, SECONDS + 60, NOW, BOB.address)  # noqa: E731
    assert code_of(issue) == "SESSION_REVOKED"
    entitle(directory)
    issued, own = issue(), sessions.issue(ALICE.address, SECONDS, SECONDS + 60, NOW)
    assert (issued.session.account, issued.session.agent) == (ALICE.address, BOB.address)
    assert check(sessions, issued) == issued.session and check(sessions, own) == own.session
    assert {issued.api_key, issued.secret}.isdisjoint({own.api_key, own.secret})
    last = NOW + 30_000
    check(sessions, issued, at=last, now=last - 1)
    assert code_of(lambda: check(sessions, issued, at=last, now=last)) == "SESSION_REVOKED"
    entitle(directory, is_revoked=True)
    assert code_of(lambda: check(sessions, issued)) == "SESSION_REVOKED"
    check(sessions, own)
    entitle(directory, expiry=SECONDS + 60)
    check(sessions, issued)


def test_whoever_watches_hears_that_the_agent_is_over(sessions, directory) -> None:
    entitle(directory)
    over = []
    sessions.watch(
        sessions.issue(ALICE.address, SECONDS, SECONDS + 60, NOW, BOB.address).session, lambda: over.append(1)
    )
    sessions.watch(sessions.issue(ALICE.address, SECONDS, SECONDS + 60, NOW).session, lambda: over.append(2))
    sessions.refresh(NOW)
    assert over == []
    entitle(directory, is_revoked=True)
    sessions.refresh(NOW)
    sessions.refresh(NOW)
    assert over == [1]


def test_an_agent_ends_only_its_own_sessions(sessions, directory) -> None:
    entitle(directory)
    own = sessions.issue(ALICE.address, SECONDS, SECONDS + 60, NOW)
    first, second = (sessions.issue(ALICE.address, SECONDS, SECONDS + n, NOW, BOB.address) for n in (60, 61))
    assert code_of(lambda: sessions.end(own.api_key, first.session, NOW)) == "NOT_FOUND"
    sessions.end(first.api_key, second.session, NOW)
    sessions.end(second.api_key, own.session, NOW)
    for ended in (first, second):
        assert code_of(lambda ended=ended: check(sessions, ended)) == "SESSION_REVOKED"
    check(sessions, own)


def forged(agent: Signer, issued_at: int, expiry: int) -> str:
    """A key that nobody was given: what one looks like is no secret."""
    payload = struct.pack(">B20sQQ20s", 2, from_hex(ALICE.address), issued_at, expiry, from_hex(agent.address))
    return base64.urlsafe_b64encode(payload).decode().rstrip("=")


def test_an_agent_that_ends_too_many_ends_its_own_and_no_others(sessions, directory, monkeypatch, tmp_path) -> None:
    """It can write down as many keys of its own as it likes."""
    monkeypatch.setattr("offchain.gateway.revocations.REVOKED_PER_ACCOUNT_MAX", 3)
    entitle(directory)
    other = Signer(KEYS[2])
    terms = {"expiry": SECONDS + 30, "notional": 1, "markets": (), "is_revoked": False}
    directory.learn(AgentChanged(account=ALICE.address, agent=other.address, **terms))
    own = sessions.issue(ALICE.address, SECONDS, SECONDS + 60, NOW)
    beside = sessions.issue(ALICE.address, SECONDS, SECONDS + 60, NOW, other.address)
    agents = sessions.issue(ALICE.address, SECONDS, SECONDS + 60, NOW, BOB.address)
    for number in range(6):
        sessions.end(forged(BOB, SECONDS - number, SECONDS + 9), agents.session, NOW)
    for at in (
        sessions,
        made(sessions._spent, Revocations(tmp_path / "session.revoked", SECONDS), directory=directory),
    ):
        assert code_of(lambda at=at: check(at, agents)) == "SESSION_REVOKED"
        check(at, own)
        check(at, beside)
    alone = sessions.issue(ALICE.address, SECONDS, SECONDS + 61, NOW)
    sessions.end(alone.api_key, own.session, NOW)
    check(sessions, own)


@pytest.mark.parametrize(
    ("issued_at", "expiry"),
    [
        (SECONDS, 2**64 - 1),
        (0, SECONDS + 60),
        (SECONDS + 31, SECONDS + 60),
        (SECONDS - 60, SECONDS),
        (SECONDS, SECONDS + SESSION_LIFETIME_SECONDS + 1),
    ],
)
def test_a_key_that_no_login_can_have_given_is_not_remembered(sessions, directory, tmp_path, issued_at, expiry) -> None:
    """What is remembered of it might never be forgotten."""
    entitle(directory)
    agents = sessions.issue(ALICE.address, SECONDS, SECONDS + 60, NOW, BOB.address)
    assert code_of(lambda: sessions.end(forged(BOB, issued_at, expiry), agents.session, NOW)) == "NOT_FOUND"
    assert (tmp_path / "session.revoked").read_bytes() == b""


def test_before_a_gateway_knows_the_agents_no_session_of_one_is_over(sessions, directory) -> None:
    entitle(directory)
    agents, over = sessions.issue(ALICE.address, SECONDS, SECONDS + 60, NOW, BOB.address), []
    directory.is_loaded = False
    sessions.watch(agents.session, lambda: over.append(1))
    assert code_of(lambda: check(sessions, agents)) == "UNAVAILABLE"
    sessions.refresh(NOW)
    assert over == []
    directory.is_loaded = True
    check(sessions, agents)


@pytest.mark.parametrize("length", range(0, 70, 3))
def test_a_key_of_another_length_or_version(sessions, length) -> None:
    key = base64.urlsafe_b64encode(b"\x03" * length).decode().rstrip("=")
    assert code_of(lambda: sessions.check(key, str(NOW), "00" * 32, b"", NOW)) == "UNAUTHENTICATED"


OWNERS = {
    "POST /v1/transfers",
    "DELETE /v1/sessions",
    "POST /v1/vault/approvals",
    *(route.name for route in ROUTES if "/admin/" in route.path),
}


def test_what_is_for_the_owner_alone() -> None:
    """Whoever adds a route that moves money, or that an operator has, is reminded here."""
    assert {route.name for route in ROUTES if route.is_owners} == OWNERS and len(OWNERS) > 8


# --- over HTTP ---


async def login(venue, signer=ALICE, separator=SEPARATOR, **changes) -> httpx.Response:
    now = int(time.time())
    digest = eip712.session_digest(separator, ALICE.address, now, now + 60)
    body = {"account": ALICE.address, "issuedAt": now, "expiry": now + 60, "signature": signer.sign(digest)} | changes
    async with httpx.AsyncClient(base_url=venue.url) as http:
        headers = {"content-type": "application/json"}
        return await http.post("/v1/sessions", content=msgspec.json.encode(body), headers=headers)


async def test_login_and_its_refusals(venue) -> None:
    good = await login(venue)
    assert (good.status_code, set(good.json())) == (201, {"account", "apiKey", "secret", "expiresAt"})
    for response in (
        await login(venue, signer=BOB),
        await login(venue, separator=eip712.domain_separator(1, SETTLEMENT)),
        await login(venue, separator=eip712.domain_separator(CHAIN_ID, COMMITMENT)),
        await login(venue, account=BOB.address),
    ):
        assert (response.status_code, response.json()["error"]["code"]) == (401, "WRONG_SIGNER")


async def test_before_a_gateway_knows_the_agents_nobody_is_told_to_be_none(venue) -> None:
    venue.gateway.model.is_loaded = False
    answers = [await login(venue, signer=BOB), await login(venue)]
    assert [answer.status_code for answer in answers] == [503, 201]


async def test_a_captured_mutation_is_refused_and_a_read_is_not(venue) -> None:
    session = (await login(venue)).json()
    async with httpx.AsyncClient(base_url=venue.url) as http:

        async def send(method: str, timestamp: int) -> int:
            signature = sign(session["secret"], timestamp, method.encode() + b"/v1/orders")
            headers = {"HOOATS-KEY": session["apiKey"], "HOOATS-TIMESTAMP": str(timestamp), "HOOATS-SIGN": signature}
            return (await http.request(method, "/v1/orders", headers=headers)).status_code

        now = time.time_ns() // 1_000_000
        assert [await send("DELETE", now), await send("DELETE", now), await send("DELETE", now + 1)] == [200, 401, 200]
        assert [await send("GET", now), await send("GET", now)] == [200, 200]
        assert await send("GET", now - 60_000) == 401


async def test_logout(venue) -> None:
    """One session, then all: requests are refused, and the stream that the session opened ends."""
    async with venue.client() as client, venue.client() as other, venue.client() as third:
        for one, seconds in ((client, 0), (other, 1), (third, 2)):
            one._session_seconds += seconds
            await one.balances()
        stream = client.stream(["balances"])
        await anext(stream)
        assert len(venue.gateway.sockets) == 1
        await other.logout((await client.login())[0])
        await venue.wait(lambda: len(venue.gateway.sockets) == 0)
        await stream.aclose()
        with pytest.raises(Refused, match="SESSION_REVOKED"):
            await client.balances()
        await other.balances()
        await other.logout(everywhere=True)
        for one in (other, third):
            with pytest.raises(Refused, match="SESSION_REVOKED"):
                await one.balances()


async def test_logging_in_again_in_the_second_of_a_logout(venue) -> None:
    """A session of that second ended with the others: the client says a later one."""
    async with venue.client() as client, venue.client() as again:
        await asyncio.sleep(1 - time.time() % 1)
        await client.logout(everywhere=True)
        await again.balances()
