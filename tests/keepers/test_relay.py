"""The relay keeper: what it decides, and withdrawals that reach their owners."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from local_chain import CHAIN_ID, LocalChain, Venue, address_of, key_of, sign_digest

from keepers.lease import KeptLease
from keepers.relay import Candidate, Done, Observation, Relay, Relayer, calldata_of, decide
from offchain.chain.contracts import Token
from offchain.chain.fees import FeePolicy
from offchain.chain.rpc import Rpc
from offchain.chain.signing import SigningKey
from offchain.chain.transactions import Sender
from offchain.domain.eip712 import (
    Withdrawal,
    approval_digest,
    domain_separator,
    withdraw_digest,
    withdraw_hash,
)
from offchain.domain.event import ApprovalGranted
from offchain.domain.units import Address
from offchain.storage.ops import Ops, OutboxRow
from offchain.storage.transactions import TransactionState as S

OWNER = address_of("trader 5")
DESTINATION = Address("0x" + "de" * 20)
FAR = 2**40


def approval(nonce: int = 1, **changes: object) -> ApprovalGranted:
    made = ApprovalGranted(
        nonce=nonce,
        purpose="withdraw",
        account=OWNER,
        token=Address("0x" + "00" * 20),
        amount=1_000,
        destination=DESTINATION,
        as_cxpt=False,
        owner_nonce=nonce,
        owner_deadline=FAR,
        owner_signature="0x" + "11" * 65,
        deadline=1_000,
    )
    return msgspec.structs.replace(made, **changes)


def seen(*candidates: Candidate, time: int = 100, room: int = 8) -> Observation:
    return Observation(time, candidates, room)


def row(made: ApprovalGranted, state: S | None = None, is_used: bool = False, retry_at: int = 0) -> Candidate:
    return Candidate(made, "0x" + "22" * 65, state, is_used, retry_at)


@pytest.mark.parametrize(
    ("candidate", "time", "why"),
    [
        (row(approval(), S.FINAL), 100, "relayed"),
        (row(approval(), is_used=True), 100, "used by another transaction"),
        (row(approval(purpose="lock")), 100, "sent by its owner"),
        (row(approval(owner_signature="")), 100, "sent by its owner"),
        (row(approval()), 995, "deadline passed"),
        (row(approval(owner_deadline=101)), 100, "deadline passed"),
    ],
)
def test_what_is_done(candidate: Candidate, time: int, why: str) -> None:
    assert decide(seen(candidate, time=time)) == [Done(1, why)]


def test_what_is_relayed() -> None:
    fresh, other = row(approval(1)), row(approval(2))
    assert decide(seen(fresh, other)) == [Relay(fresh), Relay(other)]
    assert decide(seen(fresh, other, room=1)) == [Relay(fresh)]
    assert decide(seen(row(approval(), S.SENT))) == []
    assert decide(seen(row(approval(), retry_at=101))) == []
    assert decide(seen(row(approval(), S.SENT), time=2_000)) == [], "what is sent is looked after, late or not"


class Bench:
    def __init__(self, chain: LocalChain, venue: Venue, ops: Ops) -> None:
        self.chain, self.venue, self.ops = chain, venue, ops
        rpc = Rpc([chain.url])
        key = SigningKey(key_of("relay"), CHAIN_ID)
        lease = KeptLease(ops, f"key:{key.address}", 60)
        sender = Sender(rpc, ops, key, keeper="relay", fees=FeePolicy(), check_lease=lease.check)
        self.relayer = Relayer(rpc, ops, sender, venue.registry, lease, gas_max=2_900_000)
        # Until its next block a chain is as old as the state that it was made of.
        chain.mine()
        self.time = int(chain.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def put(self, nonce: int, amount: int = 1_000, lifetime: int = 120, as_cxpt: bool = False) -> ApprovalGranted:
        """An approval as the engine grants it, with both real signatures."""
        separator = domain_separator(CHAIN_ID, self.venue.vault)
        deadline = self.time + lifetime
        wish = Withdrawal(OWNER, self.venue.usdc, amount, DESTINATION, as_cxpt, nonce, deadline)
        made = approval(
            nonce,
            token=self.venue.usdc,
            amount=amount,
            as_cxpt=as_cxpt,
            owner_deadline=deadline,
            owner_signature=sign_digest(withdraw_digest(separator, wish), "trader 5"),
            deadline=deadline,
        )
        digest = approval_digest(separator, OWNER, self.venue.usdc, amount, withdraw_hash(wish), nonce, deadline)
        self.ops.put_countersignatures([(nonce, sign_digest(digest, "cosigner"))])
        self.ops.put_outbox([OutboxRow("approval", nonce, msgspec.json.encode(made).decode(), nonce)], nonce)
        return made

    def received(self, token: str | None = None) -> int:
        asked = {"to": token or self.venue.usdc, "data": "0x" + Token.balance_of.encode(DESTINATION).hex()}
        return int(self.chain.rpc("eth_call", asked, "latest"), 16)

    async def steps(self, number: int) -> None:
        for _ in range(number):
            for action in self.relayer.decide(await self.relayer.observe()):
                await self.relayer.act(action)
            self.chain.mine()


@pytest.fixture
async def bench(chain: LocalChain, venue: Venue, ops: Ops) -> AsyncIterator[Bench]:
    made = Bench(chain, venue, ops)
    await made.relayer.prepare()
    yield made
    await made.relayer.close()


async def test_withdrawals_arrive(bench: Bench) -> None:
    for nonce in (3, 5, 9):
        bench.put(nonce)
    await bench.steps(5)
    assert bench.received() == 3_000
    assert bench.relayer.describe()["done"] == {"relayed": 3}


async def test_as_cxpt(bench: Bench) -> None:
    bench.put(4, amount=7, as_cxpt=True)
    await bench.steps(4)
    assert bench.received(bench.venue.registry.address("CXPT")) == 7 * 10**12
    assert bench.received() == 0


async def test_what_the_owner_sent_is_not_sent_again(bench: Bench) -> None:
    made = bench.put(1)
    candidate = Candidate(made, bench.ops.outbox_after("approval", 0)[0].countersignature, None, False, 0)
    bench.chain.fund(OWNER)
    bench.chain.do(OWNER, bench.venue.vault, calldata_of(candidate))
    await bench.steps(3)
    assert bench.received() == 1_000
    assert bench.relayer.describe()["done"] == {"used by another transaction": 1}


async def test_after_the_deadline_it_is_given_up(bench: Bench) -> None:
    bench.put(1, lifetime=4)
    bench.put(2)
    await bench.steps(4)
    assert bench.received() == 1_000
    assert bench.relayer.describe()["done"] == {"deadline passed": 1, "relayed": 1}


async def test_one_that_reverts_does_not_hold_up_the_others(bench: Bench) -> None:
    bench.put(1, amount=10**15)
    bench.put(2)
    await bench.steps(4)
    assert bench.received() == 1_000


async def test_a_new_process_repeats_nothing(bench: Bench) -> None:
    bench.put(1)
    await bench.steps(4)
    await bench.relayer.close()
    again = Bench(bench.chain, bench.venue, bench.ops)
    await again.relayer.prepare()
    again.put(2)
    await again.steps(4)
    assert again.received() == 2_000
    await again.relayer.close()
