"""Writes docs/api.md from routes, schemas and bounds themselves: `python toolchain/api_reference.py > docs/api.md`."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from offchain.domain import limits
from offchain.gateway import bounds, entry, failures, hub, settings, socket, stream
from offchain.gateway.capabilities import capabilities_json
from offchain.gateway.openapi import openapi_json
from offchain.gateway.routes import ROUTES

ROOT = Path(__file__).resolve().parent.parent
INTRODUCTION = """# The API

Made from the same tables as `GET /v1/openapi.json`, by `make docs`. What a program needs to sign is at
`GET /v1/eip712`, what it needs to know before it starts at `GET /v1/capabilities` (in the shape of ccxt's `features`).
[For market makers](journeys/market-maker.md) says what is guaranteed, and what to do when something fails.

- Decimals are strings, canonical when they are answered (no exponent, no trailing zeros), and exact: a price off tick
  or a size off lot is refused, with the nearest valid value in `error.data.nearest`.
- Times are unix milliseconds; what is signed (expiry, deadlines, sessions) is in seconds.
- Every answer has the header `hooats-request-id`. Every error has one shape: `{"ok": false, "error": {"code": "…",
  "message": "…", "data": {…}}, "requestId": "…"}`. An array of orders is answered item by item, each `{"ok": true,
  …}` or `{"ok": false, "error": {…}}`.
- **An error means that nothing was executed**, except `UNKNOWN`: ask for the order by `error.data.digest`, or send
  the same bytes again, which is answered with the first result.
- An error of a signature has the digest that the exchange computed (`error.data.digest`) and the address that it
  recovers to: compare them with yours.
- Private routes carry three headers of a session: `HOOATS-KEY`, `HOOATS-TIMESTAMP` (milliseconds) and `HOOATS-SIGN`,
  the hex HMAC-SHA256 with the session's secret over timestamp + method + path?query + body. A session reads,
  cancels, sets protections and moves money between sub-accounts; it cannot trade, nor move money out of the account.
  `DELETE /v1/sessions/{key}` ends one, `DELETE /v1/sessions` all of the account.
"""
STREAM = """
## WebSocket

`/v1/ws`: JSON text frames; order entry also in fixed binary ones, [frames.md](frames.md). Every request has an `op`
and may have an `id`; it is answered once, with both.

| op | fields |
|---|---|
| `subscribe` | `channel`, and `from`: the last `seq` that was seen, to go on from there |
| `unsubscribe` | `channel` |
| `login` | `key`, `timestamp`, `sign` over timestamp + `GET/v1/ws` |
| `order` | `order`, or `orders` (an array) |
| `cancel` | `orderId`; logged in, or with `cancel`: a signed Cancel |
| `cancelAll` | `symbol` and `side`, or none; logged in |
| `amend` | `orderId`, and `size` or a signed `order` in its slot; logged in |
| `batch` | `batch`: the body of `POST /v1/orders/batch`; logged in |
| `cancelAllAfter` | `timeout` in milliseconds, 0 takes it back; logged in |
| `cancelOnDisconnect` | `enabled`: all orders of the account are cancelled when this connection ends; logged in |
| `setProtection` | `number` and `protection`: the body of `PUT /v1/protections/{{protection}}`; logged in |
| `removeProtection`, `resetProtection` | `number`; logged in |
| `transfer` | `transfer`: the body of `POST /v1/transfers`; logged in |
| `ping` | |

Channels: {channels}.

A subscription begins with a snapshot, then come deltas. Each message has `seq`, the journal sequence of the last
command that it includes, and a delta has `prevSeq`, the `seq` of the channel's message before it: `prevSeq` above
what was seen is a gap, and a new subscription closes it. A channel has at most one message in 20 ms, the first
after a pause at once: of book, bbo, pool, mark and venue it is the last word, of the others everything. A
book's `checksum` is the CRC32 of `price:size,…|price:size,…`, the best ten bids, then the best ten asks, as
they were sent; size `0` deletes a level.

`from` a sequence brings all that came since, or a snapshot if the venue no longer has it. Private channels are kept of
accounts that somebody reads, or did up to 10,000 commands ago, and of all accounts for the first 10,000 commands after
a start of the publisher: an older `from` of an account that nobody read gets a snapshot.

Every {heartbeat:g} s comes `{{"type": "heartbeat", "seq": …}}`. Who reads too slowly gets the present state of a book
instead of every step; on other channels the connection is closed with 1013 and the sequence to resume from.
"""


def main() -> int:
    print(INTRODUCTION)
    print("\n".join(routes()))
    channels = capabilities_json(_settings())["channels"]
    names = ", ".join(f"`{name}`" for name in channels)
    print(STREAM.format(channels=names, heartbeat=stream.HEARTBEAT_SECONDS))
    print("\n".join(schemas()))
    print("\n".join(errors()))
    print("\n".join(bounds_table()), end="")
    return 0


def routes() -> Iterator[str]:
    yield "## Routes"
    yield ""
    yield "| route | what | who | weight | query | body | answer |"
    yield "|---|---|---|---|---|---|---|"
    described = openapi_json()["paths"]
    for route in ROUTES:
        operation = described[route.path][route.method.lower()]
        body = f"[{route.request.__name__}](#{route.request.__name__.lower()})" if route.request else ""
        weight = str(route.weight)
        if route.rate is not None:
            weight += f"; {route.rate.per_second}/s, burst {route.rate.burst}"
        query = ", ".join(f"`{name}`" for name in route.query)
        who = f"{route.auth}; no agent" if route.is_owners else route.auth
        row = (f"`{route.method} {route.path}`", route.summary, who, weight, query, body, _answer(operation))
        yield "| " + " | ".join(row) + " |"
    yield ""
    yield "Weights are what a request takes of the budgets below; every order of an array weighs 1."


def _answer(operation: dict[str, Any]) -> str:
    success = next(response for status, response in operation["responses"].items() if status < "300")
    return words_of(success["content"]["application/json"]["schema"])


def schemas() -> Iterator[str]:
    yield "## Schemas"
    for name, schema in sorted(openapi_json()["components"]["schemas"].items()):
        yield f"\n### {name}\n"
        if text := schema.get("description"):
            yield " ".join(text.split()) + "\n"
        yield "| field | type | |"
        yield "|---|---|---|"
        required = set(schema.get("required", ()))
        for field, kind in schema["properties"].items():
            yield f"| `{field}` | {words_of(kind)} | {'' if field in required else 'optional'} |"
    yield ""


def words_of(kind: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in kind:
        name = kind["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if options := kind.get("anyOf") or kind.get("oneOf"):
        return " or ".join(words_of(option) for option in options)
    if "enum" in kind and len(kind["enum"]) <= 8:
        return ", ".join(f"`{value}`" for value in kind["enum"])
    words = str(kind.get("type", "any"))
    if words == "array":
        words = f"array of {words_of(kind.get('items', {}))}" if kind.get("items") else "array"
    elif pattern := kind.get("pattern"):
        words = {"^-?(0": "decimal string", "^-?[0": "integer string", "^0x[0": "0x-hex"}.get(pattern[:5], words)
    return words + (f" ({kind['description']})" if "description" in kind else "")


def errors() -> Iterator[str]:
    yield "## Error codes\n"
    yield "| code | HTTP | ccxt |"
    yield "|---|---|---|"
    for code, status in sorted(failures.STATUS.items()):
        yield f"| `{code}` | {status} | {failures.CCXT[code]} |"
    yield ""


def bounds_table() -> Iterator[str]:
    """Every bound of the ingress with its value and its reason, from where it is defined."""
    yield "## Limits\n"
    yield "What a gateway is started with unless its operator says otherwise; `GET /v1/capabilities` has its own."
    yield "A refusal is `RATE_LIMITED` with `data.limit`, `data.retryAfterMs` and the header `Retry-After`.\n"
    yield "| budget | a second | burst | |"
    yield "|---|---|---|---|"
    reasons = reasons_of(Path(settings.__file__).read_text())
    rates = settings.RateSettings()
    for name in settings.LIMITS:
        rate = getattr(rates, name)
        yield f"| {wire(name)} | {rate.per_second:,} | {rate.burst:,} | {reasons[name]} |"
    ban = rates.ban
    yield ""
    yield (
        f"Who comes back before the time that a refusal told, more than {ban.patience.burst} times"
        f" ({ban.patience.per_second} a second are forgotten), is banned: {ban.first_seconds} s, then twice as long"
        f" each time, {ban.longest_seconds} s at most; {ban.calm_seconds} s without a ban take one step back. Cancels"
        " are never banned."
    )
    yield ""
    yield "| bound | value | |"
    yield "|---|---|---|"
    for module, names in BOUNDS.items():
        found = reasons_of(Path(module.__file__ or "").read_text())
        for name in names or (name for name in found if isinstance(getattr(module, name, None), int | float)):
            yield f"| {name} | {_number(getattr(module, name))} | {found.get(name, '')} |"
    plain = settings.GatewaySettings.__struct_defaults__
    fields = settings.GatewaySettings.__struct_fields__[-len(plain) :]
    for name, value in zip(fields, plain, strict=True):
        if name in reasons and isinstance(value, int):
            yield f"| {name} | {value:,} | {reasons[name]} |"


BOUNDS: dict[Any, tuple[str, ...]] = {
    limits: (
        "BODY_BYTES_MAX",
        "FRAME_BYTES_MAX",
        "ORDERS_PER_REQUEST_MAX",
        "OPEN_ORDERS_PER_ACCOUNT_MAX",
        "RECENT_ORDERS_PER_ACCOUNT",
        "SUBSCRIPTIONS_PER_CONNECTION_MAX",
        "PAGE_LIMIT_MAX",
        "SESSION_LIFETIME_SECONDS",
    ),
    bounds: (),
    stream: (),
    hub: (),
    socket: (),
    entry: (),
}
"""None named: all that are numbers and say why."""


def reasons_of(source: str) -> dict[str, str]:
    """The docstring below each assignment."""
    found = re.findall(r'^ *(\w+)(?:: [^\n=]+)? = [^\n]*\n *"""(.*?)"""', source, re.MULTILINE | re.DOTALL)
    return {name: " ".join(text.split()) for name, text in found}


def wire(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _settings() -> settings.GatewaySettings:
    """Channels do not depend on any of it."""
    nowhere = Path("nowhere")
    address: Any = "0x" + "00" * 20
    return settings.GatewaySettings(
        publisher_socket=nowhere,
        sequencer_socket=nowhere,
        history_url="",
        session_key_file=nowhere,
        chain_id=998,
        vault=address,
        settlement=address,
        commitment=address,
        quote_token=address,
    )


if __name__ == "__main__":
    raise SystemExit(main())
