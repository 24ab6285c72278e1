"""Through the gateway to the real sequencer and back: matching, refusals, history, proofs, wallets."""

# ruff: noqa: ASYNC110  (other processes are waited for by looking)

import asyncio
import contextlib
import json
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import msgspec
import pytest
from conftest import KEYS, Running, run_gateway_here, run_publisher_here
from real_venue import ATTESTER, CHAIN_ID, COMMITMENT, SETTLEMENT, VAULT

from offchain.client import Refused, Ticket
from offchain.client.orders import Signer
from offchain.domain import eip712
from offchain.domain.units import Address, from_hex
from offchain.projector.proofs import verify_proof
from offchain.security.signatures import recover
from offchain.storage.reader import JournalReader
from offchain.storage.replica import Replica
from offchain.storage.snapshots import write_snapshot

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALICE, BOB, CAROL = (Signer(key) for key in KEYS[:3])
ROOT = Path(__file__).resolve().parents[3]


async def refused(attempt) -> Refused:
    with pytest.raises(Refused) as caught:
        await attempt
    return caught.value


async def test_a_trade(real) -> None:
    _, venue = real
    async with venue.client(KEYS[0]) as alice, venue.client(KEYS[1]) as bob:
        before = (await alice.balances())["USDC"], (await bob.balances())["BTC"]
        maker = await alice.place("BTC-USDC", "buy", "61500.1", "0.02")
        taker = await bob.place("BTC-USDC", "sell", "61500", "0.005", time_in_force="IOC")
        assert (taker.order.status, taker.order.filled, taker.order.average) == ("closed", "0.005", "61500.1")
        assert taker.order.cost == "307.5005"
        (fill,) = taker.fills
        assert (fill.price, fill.amount, fill.taker_or_maker, fill.side) == ("61500.1", "0.005", "taker", "sell")
        assert fill.fee.cost == "0.768752", "ceil(307.5005 * 0.0025)"
        resting = await alice.order(maker.order.id)
        assert (resting.status, resting.filled, resting.remaining, resting.cost) == (
            "open",
            "0.005",
            "0.015",
            "307.5005",
        )
        assert (await alice.fills())[0].id == fill.id == (await bob.fills())[0].id
        assert (await alice.fills())[0].taker_or_maker == "maker"
        trades = await alice.trades("BTC-USDC")
        assert (trades[0]["id"], trades[0]["side"], set(trades[0])) == (
            fill.id,
            "sell",
            {"id", "timestamp", "side", "price", "liquidity", "amount", "cost"},
        )
        after = (await alice.balances())["USDC"], (await bob.balances())["BTC"]
        assert float(after[0].pending) == pytest.approx(float(before[0].pending) - 307.5005 - 0.307501)
        assert float(after[1].pending) == pytest.approx(float(before[1].pending) - 0.005)
        await alice.cancel_all()


async def test_receipts_are_the_attestation_key_s(real) -> None:
    _, venue = real
    async with venue.client() as client:
        placed = await client.place("BTC-USDC", "buy", "100", "0.01")
        receipt = (await client.order(placed.order.id)).receipt
        separator = eip712.domain_separator(CHAIN_ID, COMMITMENT)
        signed = eip712.receipt_digest(separator, receipt.seq, receipt.timestamp, from_hex(placed.order.id))
        assert recover(signed, from_hex(receipt.signature)) == ATTESTER
        assert placed.receipt == receipt
        await client.cancel(placed.order.id)


async def test_refusals_of_the_engine(real) -> None:
    """Typed codes for what only the engine can know; each is sequenced and has its receipt."""
    _, venue = real
    async with venue.client() as client:
        first = await client.place("BTC-USDC", "buy", "1000", "0.01", slot=900, client_order_id="refusals")
        signed = await client.sign(Ticket(symbol="BTC-USDC", side="buy", price="1000", size="0.01", slot=900))
        replaced = await client.place_signed(signed)
        assert (await client.order(first.order.id)).reason == "REPLACED"
        market = (await client.markets())["BTC-USDC"]
        separator = eip712.domain_separator(CHAIN_ID, SETTLEMENT)

        def with_nonce(nonce: int, **changes):
            from offchain.client.orders import sign_order

            ticket = Ticket(**({"symbol": "BTC-USDC", "side": "buy", "price": "999", "size": "0.01"} | changes))
            return client.place_signed(sign_order(ticket, market, nonce, 5_000, separator, ALICE))

        dead = await refused(with_nonce(int(replaced.order.nonce) - 1))
        assert (dead.code, dead.status, dead.data["slot"]) == ("DEAD_NONCE", 409, 900)
        assert dead.data["receipt"]["signature"]
        replayed = await refused(with_nonce(int(replaced.order.nonce)))
        assert replayed.code == "DEAD_NONCE", "the same nonce for another order"
        ahead = await refused(with_nonce((901 << 48) + time.time_ns() // 1_000_000 + 2 * 86_400_000))
        assert (ahead.code, ahead.status) == ("NONCE_TOO_FAR_AHEAD", 422)
        wrong_slot = await refused(with_nonce(time.time_ns() // 1_000_000))
        assert (wrong_slot.code, wrong_slot.status) == ("INVALID_SLOT", 400)
        expired = await refused(client.place("BTC-USDC", "buy", "1", "1", time_in_force="GTD", expiry=1_000_000_000))
        assert (expired.code, expired.status) == ("EXPIRED", 422)
        poor = await refused(client.place("BTC-USDC", "buy", "1000000", "100"))
        assert (poor.code, poor.status, poor.data["token"]) == ("INSUFFICIENT_BALANCE", 422, "USDC")
        assert float(poor.data["free"]) > 0
        cheap = await refused(client.place("BTC-USDC", "buy", "1000", "0.01", max_fee_ppm=1))
        assert (cheap.code, cheap.data["takerFeePpm"]) == ("FEE_CAP_TOO_LOW", 2_500)
        crossing = await refused(client.place("BTC-USDC", "sell", "999", "0.01", post_only=True))
        assert (crossing.code, crossing.data["bbo"]) == ("POST_ONLY_WOULD_CROSS", ["1000", None])
        huge = await refused(client.place("BTC-USDC", "buy", "100000000000", "100000000"))
        assert huge.status == 422
        await client.cancel_all()


async def test_client_order_ids(real) -> None:
    _, venue = real
    async with venue.client() as client:
        first = await client.place("BTC-USDC", "buy", "5", "0.01", client_order_id="same-name")
        again = await client.place("BTC-USDC", "buy", "5", "0.01", client_order_id="same-name")
        assert (again.replayed, again.order.id) == (True, first.order.id), "same terms, another nonce"
        other = await refused(client.place("BTC-USDC", "buy", "6", "0.01", client_order_id="same-name"))
        assert (other.code, other.status) == ("DUPLICATE_CLIENT_ORDER_ID", 409)
        assert (await client.order_by_client_id("same-name")).id == first.order.id
        await client.cancel_all()


async def test_history_and_pages(real) -> None:
    """What the read model forgets, the history tells; here both answer the same."""
    _, venue = real
    async with venue.client(KEYS[2]) as client:
        orders = [(await client.place("ETH-USDC", "buy", str(10 + n), "0.01")).order for n in range(5)]
        await client.cancel_all("ETH-USDC")
        live = await client.orders("closed", "ETH-USDC")
        assert [order.id for order in live] == [order.id for order in reversed(orders)]
        assert [order.id for order in await client.orders("closed", "ETH-USDC", limit=2)] == [
            orders[4].id,
            orders[3].id,
        ]
        async with asyncio.timeout(10):
            while (await venue.publisher.past.order(orders[4].id) or orders[4]).status != "canceled":
                await asyncio.sleep(0.02)
        past = await venue.publisher.past.closed_orders(CAROL.address, 2, 2**62, 100)
        model = venue.publisher.model
        assert [row.digest for row in past] == [order.id for order in live]
        assert past == [model.order(row.digest) for row in past]


async def test_epochs_and_proofs(real) -> None:
    _, venue = real
    async with venue.client() as client:
        placed = await client.place("BTC-USDC", "buy", "7", "0.01")
        await client.cancel(placed.order.id)
        proof = None
        async with asyncio.timeout(15):
            while proof is None:
                with contextlib.suppress(Refused):
                    proof = await client.proof(placed.order.id)
                await asyncio.sleep(0.1)
        findings = verify_proof(proof)
        assert all(finding.ok for finding in findings), findings
        assert any(ATTESTER in finding.what for finding in findings)
        epoch = await client.epoch(proof["header"]["epoch"])
        assert epoch["header"] == proof["header"]
        assert (await refused(client.epoch(10**6))).code == "NOT_FOUND"
        assert (await refused(client.proof("0x" + "ab" * 32))).code == "ORDER_NOT_FOUND"


async def test_withdrawals_and_approvals(real) -> None:
    _, venue = real
    async with venue.client(KEYS[1]) as client:
        before = (await client.balances())["USDC"]
        approval = await client.withdraw("USDC", "1000.5")
        after = (await client.balances())["USDC"]
        assert float(before.withdrawable) - float(after.withdrawable) == pytest.approx(1000.5)
        assert after.leaving != "0"
        token, amount = Address(approval.token), int(approval.amount_atoms)
        nonce, deadline = int(approval.owner_nonce), approval.owner_deadline
        purpose = eip712.withdraw_hash(
            eip712.Withdrawal(BOB.address, token, amount, BOB.address, False, nonce, deadline)
        )
        signed = eip712.approval_digest(
            eip712.domain_separator(CHAIN_ID, VAULT),
            BOB.address,
            Address(approval.token),
            int(approval.amount_atoms),
            purpose,
            int(approval.nonce),
            approval.deadline,
        )
        assert recover(signed, from_hex(approval.signature)) == ATTESTER
        lock = await client.approval("lock", "USDC", "5")
        signed = eip712.approval_digest(
            eip712.domain_separator(CHAIN_ID, VAULT),
            BOB.address,
            Address(lock.token),
            5_000_000,
            eip712.PURPOSE_LOCK,
            int(lock.nonce),
            lock.deadline,
        )
        assert recover(signed, from_hex(lock.signature)) == ATTESTER
        assert (await refused(client.withdraw("USDC", "99999999"))).code == "INSUFFICIENT_BALANCE"
        assert (await refused(client.approval("lock", "BTC", "1"))).code == "INVALID_PARAMETER"


SIGN_WITH_ETHERS = """
const {ethers} = require("ethers");
const {key, template, message} = JSON.parse(require("fs").readFileSync(0, "utf8"));
const types = {...template.types};
delete types.EIP712Domain;
new ethers.Wallet(key).signTypedData(template.domain, types, message).then(s => console.log(s));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
async def test_an_order_signed_by_ethers_from_the_served_template(real) -> None:
    """What any wallet library makes of GET /v1/eip712 is accepted."""
    _, venue = real

    async def sign(name: str, message: dict) -> str:
        script = {"key": "0x" + KEYS[0].hex(), "template": templates[name], "message": message}
        done = await asyncio.to_thread(
            subprocess.run,
            ["node", "-e", SIGN_WITH_ETHERS],
            input=json.dumps(script),
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    async with httpx.AsyncClient(base_url=venue.url) as http:
        templates = (await http.get("/v1/eip712")).json()
        market = (await http.get("/v1/markets")).json()["markets"][0]
        nonce = (700 << 48) + time.time_ns() // 1_000_000
        account = "0x" + ALICE.address[2:]
        message = {
            "account": account,
            "subaccount": 0,
            "market": market["market"],
            "side": 0,
            "kind": 0,
            "timeInForce": 0,
            "flags": 1,
            "priceTicks": "123400",
            "sizeLots": 250,
            "triggerTicks": 0,
            "maxFeePpm": 5_000,
            "nonce": str(nonce),
            "expiry": 0,
        }
        body = {
            "symbol": market["symbol"],
            "side": "buy",
            "price": "12340",
            "size": "0.025",
            "maxFeePpm": 5_000,
            "nonce": str(nonce),
            "postOnly": True,
            "account": account,
            "signature": await sign("Order", message),
        }
        headers = {"content-type": "application/json"}
        answer = await http.post("/v1/orders", content=msgspec.json.encode(body), headers=headers)
        assert answer.status_code == 201, answer.text
        order_id = answer.json()["order"]["id"]
        cancel = {"account": account, "nonce": str(nonce)}
        cancel["signature"] = await sign("Cancel", cancel)
        answer = await http.request(
            "DELETE", f"/v1/orders/{order_id}", content=msgspec.json.encode(cancel), headers=headers
        )
        assert answer.json()["order"]["status"] == "canceled"
        now = int(time.time())
        login = {"account": account, "issuedAt": now, "expiry": now + 60}
        login["signature"] = await sign("Session", login)
        answer = await http.post("/v1/sessions", content=msgspec.json.encode(login), headers=headers)
        assert answer.status_code == 201


async def test_the_sequencer_is_killed_in_the_flow(start_real_venue) -> None:
    """SIGKILL under load: the client's retries leave every order placed exactly once."""
    async with start_real_venue() as (processes, venue), venue.client(retry_seconds=30) as client:
        await client.markets()
        await client.orders()
        tickets = [Ticket(symbol="BTC-USDC", side="buy", price=str(1 + n), size="0.001") for n in range(100)]
        signed = [await client.sign(ticket) for ticket in tickets]
        flow = asyncio.gather(*(client.place_signed(order) for order in signed))
        await asyncio.sleep(0.05)
        processes.kill("sequencer")
        await asyncio.sleep(0.1)
        processes.start("sequencer")
        answers = await flow
        sequences = [answer.receipt.seq for answer in answers]
        assert len(set(sequences)) == 100
        assert {order.id for order in await client.orders(limit=1000)} == {order.digest for order in signed}


async def test_a_publisher_starts_from_a_snapshot(start_real_venue) -> None:
    """What it shows is what the one shows that followed from the beginning."""
    async with start_real_venue() as (processes, running), running.client() as client:
        for price in range(30):
            await client.place("BTC-USDC", "buy", str(50_000 + price), "0.01")
        replica, reader = Replica(), JournalReader(processes.journal_folder)
        for group in reader.groups():
            replica.advance(group)
        write_snapshot(running.publisher.settings.snapshots_folder, replica.engine, replica.group_hash)
        await client.place("BTC-USDC", "buy", "60000", "0.01")
        settings = msgspec.structs.replace(running.gateway.settings, publisher_socket=processes.folder / "p2")
        folders = {name: getattr(running.publisher.settings, name) for name in ("journal_folder", "snapshots_folder")}
        async with run_publisher_here(settings, **folders) as publisher, run_gateway_here(settings) as (fresh, url):
            second = Running(None, publisher, fresh, url)
            await second.wait(fresh.trading.is_live)
            async with second.client() as other:
                books = await other.book("BTC-USDC"), await client.book("BTC-USDC")
                assert len(books[0]["bids"]) == 31
                assert [book["checksum"] for book in books] == [books[0]["checksum"]] * 2
                assert await other.orders() == await client.orders()
                placed = await other.place("BTC-USDC", "buy", "61000", "0.01")
                assert placed.order.status == "open", "and it follows from there"
