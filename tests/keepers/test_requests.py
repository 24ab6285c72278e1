"""What the relay keeper sends for accounts without gas: what it decides, and deposits and agents that arrive."""

import time
from collections.abc import AsyncIterator

import msgspec
import pytest
from local_chain import CHAIN_ID, LocalChain, Venue, address_of, key_of, sign_digest
from web3 import Web3

from keepers.lease import KeptLease
from keepers.relay import Relayer
from keepers.requests import TRIALS_MAX, Carry, Settled, Wish, decide, is_usable
from offchain.chain.contracts import Settlement, Token, Vault, deposit_with_permit_calldata
from offchain.chain.fees import FeePolicy
from offchain.chain.rpc import Rpc
from offchain.chain.signing import SigningKey
from offchain.chain.transactions import Sender
from offchain.domain.eip712 import AgentTerms, agent_digest, domain_separator, permit_digest, separator_of
from offchain.domain.errors import ConfigurationError
from offchain.domain.event import RelayRequested
from offchain.domain.relayed import RelayRequest, RequestAgent, RequestDeposit
from offchain.domain.units import Address, Digest
from offchain.storage.ops import Ops, OutboxRow
from offchain.storage.transactions import TransactionState as S
from scripts._chain import Chain, permit_domain

OWNER = address_of("newcomer")
AMOUNT = 7 * 10**6
AGENT = Address("0x" + "e7" * 20)


def request(nonce: int = 0, deadline: int = 1_000, signature: str = "0x" + "11" * 65) -> RequestDeposit:
    return RequestDeposit(
        account=OWNER,
        amount=AMOUNT,
        nonce=nonce,
        deadline=deadline,
        token_domain=Digest("0x" + "00" * 32),
        signature=signature,
        signer=OWNER,
    )


def wish(number: int = 1, state: S | None = None, retry_at: int = 0, flaw: str = "") -> Wish:
    return Wish(RelayRequested(number=number, digest=Digest(""), request=request()), state, retry_at, flaw)


@pytest.mark.parametrize(
    ("seen", "chain_time", "why"),
    [
        (wish(state=S.FINAL), 100, "relayed"),
        (wish(state=S.FAILED), 100, "failed on chain"),
        (wish(flaw="reverts"), 100, "reverts"),
        (wish(), 995, "deadline passed"),
    ],
)
def test_what_is_settled(seen: Wish, chain_time: int, why: str) -> None:
    assert decide((seen,), chain_time, 8, 9) == [Settled(1, why)]


def test_what_is_carried() -> None:
    many = tuple(wish(number) for number in range(5))
    assert decide(many, 100, 8, 9) == [Carry(many[0]), Carry(many[1])], "so many a round"
    assert decide(many, 100, 3, 9) == [Carry(many[0])], "room is kept for withdrawals"
    assert decide(many, 100, 2, 9) == []
    assert decide(many, 100, 8, 0) == [], "what an hour may cost is spent"
    assert decide((wish(retry_at=101), wish(2)), 100, 8, 9) == [Carry(wish(2))]
    assert decide((wish(state=S.SENT),), 2_000, 8, 9) == [], "what is sent is looked after, late or not"


def test_a_used_permit_is_usable_only_by_what_it_allowed() -> None:
    assert is_usable(request(3), 3, 0)
    assert is_usable(request(3), 4, AMOUNT), "somebody sent it to the token alone"
    assert not is_usable(request(3), 4, 0), "its deposit is made"
    assert not is_usable(request(3), 4, 2**256 - 1), "an allowance that was left is not this permit's"
    assert not is_usable(request(3), 2, AMOUNT), "not the next"


class Bench:
    def __init__(self, chain: LocalChain, venue: Venue, ops: Ops, per_hour: int = 100) -> None:
        self.chain, self.venue, self.ops = chain, venue, ops
        rpc = Rpc([chain.url])
        key = SigningKey(key_of("relay"), CHAIN_ID)
        lease = KeptLease(ops, f"key:{key.address}", 60)
        sender = Sender(rpc, ops, key, keeper="relay", fees=FeePolicy(), check_lease=lease.check)
        bounds = {"gas_max": 2_900_000, "requests_per_hour": per_hour}
        self.relayer = Relayer(rpc, ops, sender, venue.registry, lease, **bounds)
        self.domain = separator_of("HOOATS Test USDC", "1", CHAIN_ID, venue.usdc)
        chain.mine()
        self.time = int(chain.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def mint(self, atoms: int = AMOUNT) -> None:
        self.chain.do(address_of("admin"), self.venue.usdc, Token.mint.encode(OWNER, atoms))

    def permit(self, number: int, nonce: int = 0, lifetime: int = 600) -> RequestDeposit:
        """As the engine passes it on, with the owner's real signature."""
        deadline = self.time + lifetime
        signed = permit_digest(self.domain, OWNER, self.venue.vault, AMOUNT, nonce, deadline)
        made = request(nonce, deadline, sign_digest(signed, "newcomer"))
        self.put(number, made)
        return made

    def put(self, number: int, made: RelayRequest) -> None:
        told = RelayRequested(number=number, digest=Digest("0x" + "00" * 32), request=made)
        self.ops.put_outbox([OutboxRow("relay", number, msgspec.json.encode(told).decode(), number)], number)

    def ask(self, to: Address, calldata: bytes) -> int:
        asked = {"to": to, "data": "0x" + calldata.hex()}
        return int(self.chain.rpc("eth_call", asked, "latest")[:66], 16)

    def credited(self) -> int:
        return self.ask(self.venue.vault, Vault.balance_of.encode(OWNER, self.venue.usdc))

    def relayed(self) -> object:
        return self.relayer.describe()["relayed"]

    async def steps(self, number: int, seconds: int = 1) -> None:
        for _ in range(number):
            for action in self.relayer.decide(await self.relayer.observe()):
                await self.relayer.act(action)
            self.chain.rpc("evm_increaseTime", seconds)
            self.chain.mine()


@pytest.fixture
async def bench(chain: LocalChain, venue: Venue, ops: Ops) -> AsyncIterator[Bench]:
    made = Bench(chain, venue, ops)
    await made.relayer.prepare()
    yield made
    await made.relayer.close()


async def test_deposits_and_agents_arrive(bench: Bench) -> None:
    bench.mint(2 * AMOUNT)
    bench.permit(3)
    terms = AgentTerms(AGENT, bench.time + 9_000, 10**9, (1,))
    account, deadline = address_of("trader 3"), bench.time + 600
    signed = agent_digest(domain_separator(CHAIN_ID, bench.venue.settlement), account, terms, 0, deadline)
    signature = sign_digest(signed, "trader 3")
    agent = RequestAgent(
        account=account, **terms._asdict(), nonce=0, deadline=deadline, signature=signature, signer=account
    )
    bench.put(4, agent)
    await bench.steps(4)
    bench.permit(7, nonce=1)
    await bench.steps(4)
    assert bench.credited() == 2 * AMOUNT
    assert bench.ask(bench.venue.settlement, Settlement.agent_of.encode(account, AGENT, 1)) == 1
    assert bench.relayed() == {"relayed": 3}


async def test_who_has_no_money_costs_no_gas_and_is_given_up(bench: Bench) -> None:
    bench.permit(1)
    await bench.steps(TRIALS_MAX + 2, seconds=21)
    assert bench.relayed() and bench.ops.transaction_of("relay:1") is None
    bench.mint()
    bench.permit(2)
    await bench.steps(4)
    assert bench.credited() == AMOUNT


async def test_a_permit_that_another_used_is_not_used_on_what_is_left(bench: Bench) -> None:
    """Known issue 7: the owner once allowed the Vault everything."""
    bench.mint(3 * AMOUNT)
    bench.chain.fund(OWNER)
    made = bench.permit(1)
    bench.chain.do(address_of("admin"), bench.venue.vault, deposit_with_permit_calldata(made))
    bench.chain.do(OWNER, bench.venue.usdc, Token.approve.encode(bench.venue.vault, 2**256 - 1))
    await bench.steps(TRIALS_MAX + 2, seconds=21)
    assert bench.credited() == AMOUNT, "once"
    assert bench.relayed() == {"its nonce is used, or not the next": 1}


async def test_an_hour_costs_no_more_than_was_said(chain: LocalChain, venue: Venue, ops: Ops) -> None:
    bench = Bench(chain, venue, ops, per_hour=1)
    await bench.relayer.prepare()
    bench.mint(2 * AMOUNT)
    bench.permit(1)
    bench.permit(2, nonce=1)
    await bench.steps(6)
    assert bench.credited() == AMOUNT and bench.relayer.describe()["left"] == 0
    now = int(time.time() * 1000)
    assert (ops.transactions_since("relay:", now - 60_000), ops.transactions_since("relay:", now + 60_000)) == (1, 0)
    await bench.relayer.close()


async def test_permits_of_another_domain_stop_the_keeper(bench: Bench) -> None:
    wrong = msgspec.structs.replace(bench.venue.registry, permit_version="2")
    other = Bench(bench.chain, bench.venue._replace(registry=wrong), bench.ops)
    with pytest.raises(ConfigurationError, match="permits"):
        await other.relayer.prepare()
    await other.relayer.close()


def test_the_deployment_finds_the_domain_of_the_tokens_permits(chain: LocalChain, venue: Venue) -> None:
    deployer = Chain(Web3(Web3.HTTPProvider(chain.url)))
    assert permit_domain(deployer, venue.usdc) == (venue.registry.permit_name, venue.registry.permit_version)
    assert permit_domain(deployer, venue.vault) == ("", ""), "no token"
