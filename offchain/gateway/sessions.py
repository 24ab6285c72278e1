"""Logins: an EIP-712 Session signature buys an expiring HMAC key, which survives a restart of the gateway.

`apiKey` names the account and the expiry; `secret` = HMAC(server key, apiKey), so an invented key has a secret that
nobody knows. A private request is signed over `timestamp + method + path?query + body` and its timestamp (ms) is at
most 30 s off; a request that changes something is taken once. A session reads and cancels; it can neither trade nor
move money, both of which need the owner's signature. Nothing is kept of a session but that it was ended early.

An agent of the account logs in with its own signature, so that a trading program needs no other key. Its session is
over with the agent, and opens none of the routes that are for the owner alone.
"""

import base64
import hashlib
import hmac
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from offchain.domain import eip712
from offchain.domain.limits import SESSION_LIFETIME_SECONDS
from offchain.domain.reasons import RejectReason
from offchain.domain.units import Address, from_hex, to_address
from offchain.gateway.bounds import SEEN_MAX, WINDOW_MILLIS
from offchain.gateway.failures import ApiError, Code
from offchain.gateway.revocations import Revocations

_PAYLOAD, _PAYLOAD_OF_AGENT = struct.Struct(">B20sQQ"), struct.Struct(">B20sQQ20s")
_VERSION, _VERSION_OF_AGENT = 1, 2
_ISSUE_ANEW = {"remedy": "POST /v1/sessions"}

IsAgent = Callable[[Address, Address, int], bool | None]
"""Whether the first may be signed for by the second at a time (unix ms); None: nobody can say yet."""


class Session(NamedTuple):
    """Times in unix seconds; `name` stands for its key, and is no secret."""

    account: Address
    expires_at: int
    issued_at: int
    name: str
    agent: Address | None = None
    """Who logged in, if not the account itself."""

    def require_owner(self) -> None:
        if self.agent is not None:
            data = {"agent": self.agent, "remedy": "POST /v1/sessions with the account's own signature"}
            raise ApiError(RejectReason.AGENT_NOT_ENTITLED, "this is for the account itself, not for its agents", data)


class Credentials(NamedTuple):
    api_key: str
    secret: str
    session: Session


class SpentMarks:
    """Signatures that were taken, as empty files: creating one is atomic among all gateways that share the folder.

    They lie by the time that was signed, so that the same signature is always looked for in the same place, and a whole
    place is removed once no gateway takes a signature of its time any more.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counts: dict[int, int] = {}

    def take(self, mark: bytes, timestamp: int, now: int) -> bool:
        """False if it was taken before. RATE_LIMITED if there are too many of one time."""
        window = timestamp // WINDOW_MILLIS
        if window not in self._counts:
            self._forget(now)
            (self._folder / str(window)).mkdir(mode=0o700, parents=True, exist_ok=True)
            self._counts[window] = 0
        if self._counts[window] >= SEEN_MAX:
            raise ApiError(Code.RATE_LIMITED, "too many signed requests", {"retryAfterMs": WINDOW_MILLIS})
        try:
            path = self._folder / str(window) / mark.hex()
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return False
        except OSError:
            data = {"executed": False}
            raise ApiError(Code.UNAVAILABLE, "the gateway cannot note that it took this", data) from None
        self._counts[window] += 1
        return True

    def _forget(self, now: int) -> None:
        """Times that `Sessions.check` refuses by now, with a window to spare for a gateway whose clock is behind."""
        oldest = (now - WINDOW_MILLIS) // WINDOW_MILLIS - 1
        for place in self._folder.glob("[0-9]*") if self._folder.exists() else ():
            if place.name.isdigit() and int(place.name) < oldest:
                shutil.rmtree(place, ignore_errors=True)
        self._counts = {window: count for window, count in self._counts.items() if window >= oldest}


class Sessions:
    """Issues, checks and ends; `now` (unix ms) is always passed in."""

    def __init__(
        self, server_key: bytes, separator: bytes, spent: SpentMarks, revocations: Revocations, is_agent: IsAgent
    ) -> None:
        self._server_key = server_key
        self._separator = separator
        self._spent = spent
        self._revocations = revocations
        self._is_agent = is_agent
        self._watchers: dict[Callable[[], None], Session] = {}

    def login_digest(self, account: Address, issued_at: int, expiry: int, now: int) -> bytes:
        """What the login must have signed; `ApiError` if its times are out of bounds."""
        if abs(now - issued_at * 1000) > WINDOW_MILLIS:
            message = "issuedAt is too far from the gateway's clock"
            data = {"field": "issuedAt", "serverTime": now, "windowMillis": WINDOW_MILLIS}
            raise ApiError(Code.TIMESTAMP_OUT_OF_WINDOW, message, data)
        if not now < expiry * 1000 <= (issued_at + SESSION_LIFETIME_SECONDS) * 1000:
            message = "expiry is in the past or too far ahead"
            data = {"field": "expiry", "maximum": issued_at + SESSION_LIFETIME_SECONDS}
            raise ApiError(Code.INVALID_FIELD, message, data)
        return eip712.session_digest(self._separator, account, issued_at, expiry)

    def issue(
        self, account: Address, issued_at: int, expiry: int, now: int, agent: Address | None = None
    ) -> Credentials:
        """For a login of the account, or of its agent, whose signature was checked. The same login gives the same
        key."""
        if agent is None:
            payload = _PAYLOAD.pack(_VERSION, from_hex(account), issued_at, expiry)
        else:
            payload = _PAYLOAD_OF_AGENT.pack(_VERSION_OF_AGENT, from_hex(account), issued_at, expiry, from_hex(agent))
        api_key = base64.urlsafe_b64encode(payload).decode().rstrip("=")
        session = Session(account, expiry, issued_at, _name_of(api_key), agent)
        self._require_living(session, now)
        return Credentials(api_key, self._secret(api_key), session)

    def check(self, key: str, timestamp: str, signature: str, request: bytes, now: int) -> Session:
        """The session of a request; `request` is method + path?query + body."""
        session = self._session_of(key)
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 16):
            raise ApiError(Code.UNAUTHENTICATED, "HOOATS-TIMESTAMP is not unix milliseconds", {"serverTime": now})
        expected = hmac.digest(self._secret(key).encode(), timestamp.encode() + request, hashlib.sha256).hex()
        if not hmac.compare_digest(expected.encode(), signature.lower().encode()):
            message = "HOOATS-SIGN does not match"
            raise ApiError(Code.UNAUTHENTICATED, message, {"signed": "timestamp + method + path?query + body"})
        if abs(now - int(timestamp)) > WINDOW_MILLIS:
            message = "HOOATS-TIMESTAMP is too far from the gateway's clock"
            raise ApiError(
                Code.TIMESTAMP_OUT_OF_WINDOW,
                message,
                {"serverTime": now, "windowMillis": WINDOW_MILLIS},
            )
        if now >= session.expires_at * 1000:
            raise ApiError(Code.SESSION_EXPIRED, "the session has expired", {"expiresAt": session.expires_at})
        self._require_living(session, now)
        return session

    def end(self, key: str, by: Session, now: int) -> None:
        """One session of the same account, whichever of its sessions says so, but an agent's only of that agent;
        NOT_FOUND for any other key, and for one whose times no login has."""
        try:
            session = self._session_of(key)
        except ApiError:
            session = None
        if session is None or session.account != by.account or by.agent not in (None, session.agent):
            raise ApiError(Code.NOT_FOUND, "the account has no such session")
        if not _may_be_open(session, now):
            raise ApiError(Code.NOT_FOUND, "the account has no such session")
        self._revocations.end(session.name, session.account, session.expires_at, now // 1000, session.agent)
        self._tell_watchers(now)

    def end_all(self, account: Address, now: int) -> None:
        """All sessions of `account` that were issued up to now."""
        self._revocations.end_all(account, now // 1000)
        self._tell_watchers(now)

    def refresh(self, now: int) -> None:
        """Takes over what other gateways ended, and what ended with its agent."""
        try:
            self._revocations.refresh()
        finally:
            self._tell_watchers(now)

    def watch(self, session: Session, over: Callable[[], None]) -> None:
        """`over` is called once the session is ended early."""
        self._watchers[over] = session

    def unwatch(self, over: Callable[[], None]) -> None:
        self._watchers.pop(over, None)

    def _tell_watchers(self, now: int) -> None:
        for over, session in list(self._watchers.items()):
            if self._is_revoked(session) or self._is_entitled(session, now) is False:
                del self._watchers[over]
                over()

    def _is_revoked(self, session: Session) -> bool:
        return self._revocations.is_revoked(session.name, session.account, session.issued_at, session.agent)

    def _is_entitled(self, session: Session, now: int) -> bool | None:
        return session.agent is None or self._is_agent(session.account, session.agent, now)

    def _require_living(self, session: Session, now: int) -> None:
        if self._is_revoked(session):
            remedy = "POST /v1/sessions with a later issuedAt"
            raise ApiError(Code.SESSION_REVOKED, "the session was ended by its account", {"remedy": remedy})
        is_entitled = self._is_entitled(session, now)
        if is_entitled is None:
            message = "the gateway does not know yet who is an agent"
            raise ApiError(Code.UNAVAILABLE, message, {"executed": False}, {"Retry-After": "1"})
        if not is_entitled:
            message, data = "the session ended with its agent", {"agent": session.agent, "remedy": "Register it again"}
            raise ApiError(Code.SESSION_REVOKED, message, data)

    def spend(self, signature: str, timestamp: int, now: int) -> None:
        """Takes the signature of a mutation, which `check` found good for this timestamp, once; REPLAYED the second
        time, whichever gateway it came to. The client signs again with a new time."""
        if not self._spent.take(bytes.fromhex(signature), timestamp, now):
            raise ApiError(Code.REPLAYED, "this very request was received before", {"remedy": "Sign a new timestamp"})

    def _session_of(self, key: str) -> Session:
        try:
            payload = base64.urlsafe_b64decode(key.encode("ascii") + b"=" * (-len(key) % 4))
            if len(payload) == _PAYLOAD.size:
                agent, (version, account, issued_at, expiry) = None, _PAYLOAD.unpack(payload)
            else:
                version, account, issued_at, expiry, signer = _PAYLOAD_OF_AGENT.unpack(payload)
                agent = to_address(signer)
        except (ValueError, struct.error):
            raise ApiError(Code.UNAUTHENTICATED, "HOOATS-KEY is not a key", _ISSUE_ANEW) from None
        if version != (_VERSION if agent is None else _VERSION_OF_AGENT):
            raise ApiError(Code.UNAUTHENTICATED, "HOOATS-KEY is of another version", _ISSUE_ANEW)
        return Session(to_address(account), expiry, issued_at, _name_of(key), agent)

    def _secret(self, api_key: str) -> str:
        return hmac.digest(self._server_key, b"session " + api_key.encode(), hashlib.sha256).hex()


def _may_be_open(session: Session, now: int) -> bool:
    """Whether a login may have said these times, and they are not over."""
    latest = (now + WINDOW_MILLIS) // 1000
    lifetime = session.expires_at - session.issued_at
    return session.issued_at <= latest and lifetime <= SESSION_LIFETIME_SECONDS and now < session.expires_at * 1000


def _name_of(api_key: str) -> str:
    return hashlib.sha256(api_key.rstrip("=").encode()).hexdigest()
