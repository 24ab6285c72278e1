"""Every way to send something wrong, and the typed error that it gets; none is a 5xx, none reaches the journal."""

import gzip
import time

import httpx
import msgspec
import pytest
from conftest import KEYS
from gateway_stub import CHAIN_ID, COMMITMENT, SETTLEMENT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offchain.client import Ticket
from offchain.client.orders import Signer, sign_order
from offchain.domain.eip712 import domain_separator
from offchain.domain.limits import BODY_BYTES_MAX, ORDERS_PER_REQUEST_MAX
from offchain.domain.reasons import RejectReason
from offchain.gateway.failures import CCXT, STATUS, Code
from offchain.gateway.refusals import WORDS
from offchain.gateway.routes import ROUTES, Auth

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"content-type": "application/json"}


@pytest.fixture
def signer():
    return Signer(KEYS[0])


async def signed(venue, separator=None, key=KEYS[0], **changes):
    """A good order's body, signed; `changes` are made before signing."""
    async with venue.client(None) as client:
        market = (await client.markets())["BTC-USDC"]
    ticket = Ticket(**({"symbol": "BTC-USDC", "side": "buy", "price": "61500.1", "size": "0.01"} | changes))
    nonce = (1 << 48) + time.time_ns() // 1_000_000
    separator = separator or domain_separator(CHAIN_ID, SETTLEMENT)
    return sign_order(ticket, market, nonce, 5_000, separator, Signer(key))


async def post(venue, body, headers=JSON, path="/v1/orders", method="POST"):
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    async with httpx.AsyncClient(base_url=venue.url) as http:
        return await http.request(method, path, content=content, headers=headers)


async def refuse(venue, body, status, code, **options):
    """The error's message and data; nothing was submitted."""
    before = venue.sequencer.submissions
    response = await post(venue, body, **options)
    answer = response.json()
    assert (response.status_code, answer["error"]["code"]) == (status, code), answer
    assert answer["requestId"] == response.headers["hooats-request-id"]
    assert set(answer) == {"ok", "error", "requestId"}
    assert venue.sequencer.submissions == before
    return answer["error"]


# --- signatures ---


async def test_wrong_signer_echoes_digest_and_recovered_address(shared_venue, signer) -> None:
    order = await signed(shared_venue, key=KEYS[1])
    error = await refuse(shared_venue, order.body | {"account": signer.address}, 401, "WRONG_SIGNER")
    mine = await signed(shared_venue)
    assert error["data"]["account"] == signer.address
    assert error["data"]["recovered"] not in (signer.address, Signer(KEYS[1]).address), "another digest, another signer"
    error = await refuse(shared_venue, mine.body | {"maxFeePpm": 1}, 401, "WRONG_SIGNER")
    assert error["data"]["digest"] != mine.digest


async def test_another_account_s_key(shared_venue, signer) -> None:
    """A signature over the very order, by a stranger: the recovered address is the stranger's."""
    order = await signed(shared_venue)
    forged = Signer(KEYS[3]).sign(bytes.fromhex(order.digest[2:]))
    error = await refuse(shared_venue, order.body | {"signature": forged}, 401, "WRONG_SIGNER")
    assert error["data"] == {"digest": order.digest, "recovered": Signer(KEYS[3]).address, "account": signer.address}


@pytest.mark.parametrize("domain", [(999, SETTLEMENT), (CHAIN_ID, COMMITMENT)], ids=["wrong chain", "wrong contract"])
async def test_wrong_domain_recovers_another_address(shared_venue, domain) -> None:
    order = await signed(shared_venue, separator=domain_separator(*domain))
    error = await refuse(shared_venue, order.body, 401, "WRONG_SIGNER")
    assert error["data"]["digest"] != order.digest


@pytest.mark.parametrize("change", ["high s", "v 0", "v 1", "v 29", "zero r", "zero s"])
async def test_malleable_or_malformed_signature(shared_venue, change) -> None:
    order = await signed(shared_venue)
    raw = bytearray.fromhex(order.body["signature"][2:])
    if change == "high s":
        curve = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
        raw[32:64] = (curve - int.from_bytes(raw[32:64], "big")).to_bytes(32, "big")
        raw[64] = 55 - raw[64]
    elif change.startswith("v "):
        raw[64] = int(change[2:])
    else:
        start = 0 if change == "zero r" else 32
        raw[start : start + 32] = bytes(32)
    await refuse(shared_venue, order.body | {"signature": "0x" + raw.hex()}, 401, "INVALID_SIGNATURE")


@pytest.mark.parametrize("change", ["high s", "zero r", "zero s"])
async def test_malformed_signature_of_64_bytes(shared_venue, change) -> None:
    order = await signed(shared_venue)
    raw = bytearray(compact(order.body["signature"]))
    if change == "high s":
        raw[32:] = (int.from_bytes(raw[32:], "big") | (1 << 255) - 1).to_bytes(32, "big")
    else:
        start = 0 if change == "zero r" else 32
        raw[start : start + 32] = bytes(32)
    await refuse(shared_venue, order.body | {"signature": "0x" + raw.hex()}, 401, "INVALID_SIGNATURE")


def compact(signature: str) -> bytes:
    """ERC-2098: r, then s with the parity in its highest bit."""
    raw = bytes.fromhex(signature[2:])
    return raw[:32] + (int.from_bytes(raw[32:64], "big") | (raw[64] - 27) << 255).to_bytes(32, "big")


@pytest.mark.parametrize("text", ["", "0x", "0x12", "ab" * 65, "0x" + "zz" * 65, "0x" + "ab" * 63, "0x" + "ab" * 66])
async def test_signature_of_another_length_or_alphabet(shared_venue, text) -> None:
    order = await signed(shared_venue)
    await refuse(shared_venue, order.body | {"signature": text}, 401, "INVALID_SIGNATURE")


# --- values ---


async def test_price_off_tick_names_the_nearest(shared_venue) -> None:
    order = await signed(shared_venue)
    error = await refuse(shared_venue, order.body | {"price": "61500.17"}, 400, "INVALID_PRICE")
    nearest = {"nearest": "61500.2", "remedy": "The nearest valid price is 61500.2"}
    assert error["data"] == {"field": "price"} | nearest


async def test_size_off_lot_names_the_nearest(shared_venue) -> None:
    order = await signed(shared_venue)
    error = await refuse(shared_venue, order.body | {"size": "0.01001"}, 400, "INVALID_SIZE")
    assert error["data"]["remedy"] == "The nearest valid size is 0.01"


@pytest.mark.parametrize("size", ["0", "0.0", "9" * 20])
async def test_zero_and_huge_sizes(shared_venue, size) -> None:
    order = await signed(shared_venue)
    await refuse(shared_venue, order.body | {"size": size}, 400, "INVALID_SIZE")


@pytest.mark.parametrize("price", ["0", "9" * 30])
async def test_zero_and_huge_prices(shared_venue, price) -> None:
    order = await signed(shared_venue)
    await refuse(shared_venue, order.body | {"price": price}, 400, "INVALID_PRICE")


async def test_unknown_market(shared_venue) -> None:
    order = await signed(shared_venue)
    error = await refuse(shared_venue, order.body | {"symbol": "DOGE-USDC"}, 404, "UNKNOWN_MARKET")
    assert error["data"]["symbols"] == ["BTC-USDC"]


async def test_account_without_any_balance(shared_venue) -> None:
    order = await signed(shared_venue, key=KEYS[3])
    error = await refuse(shared_venue, order.body, 422, "INSUFFICIENT_BALANCE")
    assert error["data"] == {"digest": order.digest}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("price", 61500.1),
        ("price", 61500),
        ("size", 0.01),
        ("price", "6.15e4"),
        ("price", "+1"),
        ("price", "-1"),
        ("price", "01"),
        ("price", ".5"),
        ("price", "5."),
        ("price", " 1"),
        ("price", "1,5"),
        ("price", None),
        ("price", "9" * 40),
        ("size", ["0.01"]),
        ("nonce", 1.0),
        ("nonce", "1e3"),
        ("nonce", "-1"),
        ("nonce", "01"),
        ("nonce", 2**64),
        ("nonce", -1),
        ("expiry", 2**40),
        ("expiry", -1),
        ("expiry", 1.5),
        ("expiry", "1"),
        ("maxFeePpm", 2**31),
        ("maxFeePpm", 0.5),
        ("side", "BUY"),
        ("side", 0),
        ("type", "stop"),
        ("timeInForce", "PO"),
        ("postOnly", 1),
        ("account", "0x12"),
        ("account", "0xEDE35562D3555e61120a151b3c8e8e91d83a378a"),
        ("clientOrderId", "x" * 37),
        ("clientOrderId", "a b"),
        ("clientOrderId", "a/b"),
        ("clientOrderId", 7),
        ("symbol", 1),
    ],
)
async def test_floats_and_other_wrong_types_and_forms(shared_venue, field, value) -> None:
    order = await signed(shared_venue)
    error = await refuse(shared_venue, order.body | {field: value}, 400, "INVALID_FIELD")
    assert error["data"]["field"] == field


async def test_unknown_field(shared_venue) -> None:
    order = await signed(shared_venue)
    error = await refuse(shared_venue, order.body | {"leverage": True}, 400, "UNKNOWN_FIELD")
    assert error["data"]["field"] == "leverage"


@pytest.mark.parametrize("field", ["symbol", "side", "price", "size", "maxFeePpm", "nonce", "account", "signature"])
async def test_missing_field(shared_venue, field) -> None:
    order = await signed(shared_venue)
    body = {name: value for name, value in order.body.items() if name != field}
    error = await refuse(shared_venue, body, 400, "MISSING_FIELD")
    assert error["data"]["field"] == field


# --- bodies ---


@pytest.mark.parametrize(
    ("body", "position"),
    [
        (b"", "byte 0"),
        (b"{", "byte 1"),
        (b'{"symbol": "BTC", }', "byte"),
        (b'{"symbol": nul}', "byte"),
        (b"[] x", "byte 4"),
        (b'[{"symbol": "a"},]', "byte"),
    ],
)
async def test_malformed_json_names_the_byte(shared_venue, body, position) -> None:
    error = await refuse(shared_venue, body, 400, "MALFORMED_JSON")
    assert position in error["message"]


async def test_json_of_another_shape(shared_venue) -> None:
    await refuse(shared_venue, b'"order"', 400, "INVALID_FIELD")
    await refuse(shared_venue, b"7", 400, "INVALID_FIELD")


async def test_deep_nesting(shared_venue) -> None:
    await refuse(shared_venue, b"[" * 30_000 + b"]" * 30_000, 400, "MALFORMED_JSON")
    await refuse(shared_venue, b'{"price":' + b"[" * 30_000 + b"]" * 30_000 + b"}", 400, "MALFORMED_JSON")


async def test_body_over_the_limit(shared_venue) -> None:
    error = await refuse(shared_venue, b" " * (BODY_BYTES_MAX + 1), 413, "BODY_TOO_LARGE")
    assert error["data"]["maximum"] == BODY_BYTES_MAX


async def test_chunked_body_over_the_limit(shared_venue) -> None:
    async def chunks():
        for _ in range(80):
            yield b" " * 1024

    async with httpx.AsyncClient(base_url=shared_venue.url) as http:
        response = await http.post("/v1/orders", content=chunks(), headers=JSON)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
async def test_wrong_content_type(shared_venue, content_type) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    await refuse(shared_venue, b"{}", 415, "UNSUPPORTED_MEDIA_TYPE", headers=headers)


async def test_content_type_with_a_charset_is_fine(shared_venue) -> None:
    await refuse(shared_venue, b"{}", 400, "MISSING_FIELD", headers={"content-type": "Application/JSON; charset=utf-8"})


async def test_compressed_bodies_are_not_unpacked(shared_venue) -> None:
    headers = JSON | {"content-encoding": "gzip"}
    await refuse(shared_venue, gzip.compress(b"{}" * 1000), 400, "MALFORMED_JSON", headers=headers)


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/nothing", "/v1/orders/", "/v2/orders", "/v1/book", "/v1/%00"])
async def test_unknown_route(shared_venue, path) -> None:
    await refuse(shared_venue, b"", 404, "NOT_FOUND", path=path, method="GET")


async def test_wrong_method_names_the_right_ones(shared_venue) -> None:
    error = await refuse(shared_venue, b"{}", 405, "METHOD_NOT_ALLOWED", path="/v1/markets")
    assert error["data"]["allow"] in ("GET, HEAD", "HEAD, GET")


async def test_unknown_query_parameter(shared_venue) -> None:
    error = await refuse(shared_venue, b"", 400, "UNKNOWN_FIELD", path="/v1/book/BTC-USDC?dept=5", method="GET")
    assert error["data"] == {"field": "dept", "known": ["depth"]}


@pytest.mark.parametrize("depth", ["0", "-1", "1001", "x", "1.5", "", "%ff", "9" * 100])
async def test_depth_out_of_range(shared_venue, depth) -> None:
    await refuse(shared_venue, b"", 400, "INVALID_FIELD", path=f"/v1/book/BTC-USDC?depth={depth}", method="GET")


async def test_too_many_orders_in_a_request(shared_venue) -> None:
    error = await refuse(shared_venue, [1] * (ORDERS_PER_REQUEST_MAX + 1), 400, "TOO_MANY_ORDERS")
    assert error["data"]["maximum"] == ORDERS_PER_REQUEST_MAX


async def test_array_items_are_answered_one_by_one(shared_venue) -> None:
    good, bad = await signed(shared_venue), await signed(shared_venue, side="sell")
    items = [good.body, 7, bad.body | {"price": 1.5}, good.body | {"size": "0"}, {}]
    response = await post(shared_venue, items)
    answers = response.json()
    codes = [answer["ok"] or answer["error"]["code"] for answer in answers]
    assert response.status_code == 200
    assert codes == [True, "INVALID_FIELD", "INVALID_FIELD", "INVALID_SIZE", "MISSING_FIELD"]
    assert (await post(shared_venue, b"[]")).json() == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(body=st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
async def test_no_bytes_make_a_5xx(shared_venue, body) -> None:
    for path in ("/v1/orders", "/v1/sessions", "/v1/vault/withdraw"):
        response = await post(shared_venue, body, path=path)
        assert 400 <= response.status_code < 500 or response.json() == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    name=st.sampled_from(["price", "size", "nonce", "account", "signature", "side", "expiry", "symbol"]),
    value=json_values,
)
async def test_no_value_makes_a_5xx(shared_venue, name, value) -> None:
    order = await signed(shared_venue)
    response = await post(shared_venue, msgspec.json.encode(order.body | {name: value}))
    assert response.status_code < 500


# --- the table itself ---


async def test_every_code_has_a_status_and_words() -> None:
    assert set(STATUS) == {str(code) for code in Code} | {str(reason) for reason in RejectReason}
    assert set(WORDS) == set(RejectReason)
    assert set(CCXT) == set(STATUS), "ccxt's class of every code"
    assert {code for code, status in STATUS.items() if status >= 500} == {"UNAVAILABLE", "UNKNOWN", "INTERNAL"}


@pytest.mark.parametrize("route", [route for route in ROUTES if route.auth is Auth.SESSION], ids=lambda r: r.path)
async def test_private_routes_need_a_session(shared_venue, route) -> None:
    path = route.path.replace("{id}", "0x" + "ab" * 32)
    body = b"" if route.method == "GET" else b"{}"
    await refuse(shared_venue, body, 401, "UNAUTHENTICATED", path=path, method=route.method)


async def test_no_internal_error_was_counted(shared_venue) -> None:
    async with httpx.AsyncClient(base_url=shared_venue.url) as http:
        metrics = (await http.get("/metrics")).text
    assert "hooats_gateway_internal_errors_total 0.0" in metrics
