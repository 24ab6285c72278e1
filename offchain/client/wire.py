"""One line to a gateway: requests with retries, and the logins that sign them.

A request that may be repeated is sent again unchanged while the venue is away, overloaded, or says that an outcome is
unknown, until `retry_seconds` are over.
"""

import asyncio
import hashlib
import hmac
import time
from typing import Any, Self
from urllib.parse import quote

import httpx
import msgspec

from offchain.client.failures import ExchangeUnreachable, Refused
from offchain.client.orders import Signer
from offchain.domain import eip712
from offchain.domain.errors import ConfigurationError
from offchain.domain.units import Address

BACKOFF_SECONDS = (0.05, 1.0)
UNKNOWN_CODES = ("UNKNOWN", "UNAVAILABLE")
"""Codes after which the same request is sent again."""
_RENEW_SECONDS = 60

Json = dict[str, Any]


class Wire:
    """`key` (32 bytes) signs and logs in; without one only public routes work. `account`: for whom, if the key is that
    of an agent.

    `connect_seconds`: how long it tries to get a connection at all, if not as long as other retries.
    """

    def __init__(
        self,
        url: str,
        key: bytes | None = None,
        *,
        account: str | None = None,
        timeout_seconds: float = 10.0,
        retry_seconds: float = 15.0,
        connect_seconds: float | None = None,
        session_seconds: int = 3600,
    ) -> None:
        self.url = url.rstrip("/")
        self.signer = Signer(key, account) if key is not None else None
        self._retry_seconds = retry_seconds
        self._connect_seconds = retry_seconds if connect_seconds is None else connect_seconds
        self._session_seconds = session_seconds
        timeouts = httpx.Timeout(timeout_seconds, connect=connect_seconds or timeout_seconds)
        self._http = httpx.AsyncClient(base_url=self.url, timeout=timeouts)
        self._login_lock = asyncio.Lock()
        self._session: Json | None = None
        self._clock_offset_millis = 0
        self._templates: Json = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    @property
    def address(self) -> Address:
        """Of the key."""
        return self._require_signer().address

    @property
    def account(self) -> Address:
        """Whose orders it places: of the key, or that for which it is an agent."""
        return self._require_signer().account

    async def eip712(self) -> Json:
        """The templates, asked once."""
        if not self._templates:
            self._templates = await self._get("/v1/eip712")
        return self._templates

    async def login(self) -> tuple[str, str]:
        """(apiKey, secret) of a session that is valid for at least another minute."""
        async with self._login_lock:
            session, now = self._session, self._now_millis()
            if session is None or session["expiresAt"] < now + _RENEW_SECONDS * 1000:
                session = self._session = await self._new_session(now // 1000)
        return session["apiKey"], session["secret"]

    async def logout(self, key: str | None = None, *, everywhere: bool = False) -> None:
        """Ends the own session, another one of the account by its apiKey, or all that were issued up to now."""
        target = "" if everywhere else "/" + quote(key or (await self.login())[0])
        await self._send("DELETE", f"/v1/sessions{target}", session=True, retry=False)

    async def sign_request(self, request: bytes) -> tuple[str, int, str]:
        """(key, timestamp, signature) over method + path?query + body."""
        key, secret = await self.login()
        timestamp = self._now_millis()
        digest = hmac.digest(secret.encode(), str(timestamp).encode() + request, hashlib.sha256)
        return key, timestamp, digest.hex()

    async def _new_session(self, now: int, *, is_first: bool = True) -> Json:
        signer = self._require_signer()
        expiry = now + self._session_seconds
        digest = eip712.session_digest(await self._separator("Session"), signer.account, now, expiry)
        body = {"account": signer.account, "issuedAt": now, "expiry": expiry, "signature": signer.sign(digest)}
        try:
            session: Json = await self._send("POST", "/v1/sessions", body)
            return session
        except Refused as refused:
            if not is_first:
                raise
            if refused.code == "TIMESTAMP_OUT_OF_WINDOW":
                self._clock_offset_millis = refused.data["serverTime"] - time.time_ns() // 1_000_000
            elif refused.code == "SESSION_REVOKED":
                # Sessions that were issued in the very second of a logout ended with it.
                await asyncio.sleep(1)
            else:
                raise
            return await self._new_session(self._now_millis() // 1000, is_first=False)

    # --- requests ---

    async def _get(self, target: str, *, session: bool = False) -> Json:
        answer: Json = await self._send("GET", target, session=session)
        return answer

    async def _send(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        session: bool = False,
        digest: str = "",
        retry: bool = True,
        lost: list[str] | None = None,
    ) -> Any:
        """The decoded answer. Retries what may be retried until `retry_seconds` are over; whatever attempt may have
        been executed without an answer is noted in `lost`."""
        content = msgspec.json.encode(body) if body is not None else b""
        started, delay = time.monotonic(), BACKOFF_SECONDS[0]
        is_sent = False
        while True:
            patience = self._retry_seconds
            try:
                return await self._send_once(method, target, content, session)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                failure: Exception = _unreachable(self.url, method, digest, is_sent)
                wait, patience = delay, self._connect_seconds
            except httpx.TransportError:
                is_sent = True
                failure = _unreachable(self.url, method, digest, is_sent)
                wait = delay
            except Refused as refused:
                refused.is_first = not is_sent
                if refused.code not in (*UNKNOWN_CODES, "RATE_LIMITED"):
                    raise
                failure = refused
                wait = max(delay, refused.data.get("retryAfterMs", 0) / 1000)
                if refused.code in UNKNOWN_CODES:
                    is_sent = True
                    failure = ExchangeUnreachable(refused.message, digest=digest, remedy="Ask for the order")
            if is_sent and lost is not None:
                lost.append(str(failure))
            if not retry or time.monotonic() + wait > started + patience:
                raise failure
            await asyncio.sleep(wait)
            delay = min(delay * 2, BACKOFF_SECONDS[1])

    def note(self, refused: Refused) -> None:
        """What a refusal tells of the venue."""

    async def _send_once(self, method: str, target: str, content: bytes, session: bool) -> Any:
        headers = {"content-type": "application/json"} if content else {}
        request = self._http.build_request(method, target, content=content or None, headers=headers)
        if session:
            signed = method.encode() + request.url.raw_path + content
            key, timestamp, signature = await self.sign_request(signed)
            request.headers["HOOATS-KEY"] = key
            request.headers["HOOATS-TIMESTAMP"] = str(timestamp)
            request.headers["HOOATS-SIGN"] = signature
        response = await self._http.send(request)
        try:
            answer = msgspec.json.decode(response.content)
        except msgspec.DecodeError:
            raise Refused(
                "INVALID_ANSWER", f"{response.status_code} without JSON", status=response.status_code
            ) from None
        if response.status_code < 400:
            return answer
        refused = refused_of(answer, response.status_code)
        self.note(refused)
        raise refused

    async def _separator(self, name: str) -> bytes:
        return separator_of((await self.eip712())[name])

    def _now_millis(self) -> int:
        return time.time_ns() // 1_000_000 + self._clock_offset_millis

    def _require_signer(self) -> Signer:
        if self.signer is None:
            raise ConfigurationError("this needs a private key", remedy="Name its file with --key")
        return self.signer

    def _require_owner(self) -> Signer:
        signer = self._require_signer()
        if signer.account != signer.address:
            message = "an agent only trades: this is signed by the account itself"
            raise ConfigurationError(message, remedy=f"Use the key of {signer.account}")
        return signer


def separator_of(template: Json) -> bytes:
    domain = template["domain"]
    contract = Address(domain["verifyingContract"].lower())
    return eip712.separator_of(domain["name"], domain["version"], domain["chainId"], contract)


def _unreachable(url: str, method: str, digest: str, is_sent: bool) -> ExchangeUnreachable:
    """One wording for a venue that is away and for one that broke off; `is_sent` if it may have got the request."""
    if is_sent and method != "GET":
        remedy = "The outcome may be unknown: ask for the order"
    else:
        remedy = "Check --api (HOOATS_API), and that the venue runs"
    return ExchangeUnreachable(f"no exchange answers at {url}", digest=digest, remedy=remedy, is_sent=is_sent)


def refused_of(answer: Any, status: int) -> Refused:
    try:
        error = answer["error"]
        return Refused(error["code"], error["message"], error["data"], status)
    except (KeyError, TypeError):
        return Refused("INVALID_ANSWER", f"an error without its shape: {str(answer)[:200]}", status=status)
