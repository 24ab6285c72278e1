"""Every signature that is written down in Python is the compiled contract's; and what is encoded is what was meant."""

from typing import Any, get_args

import msgspec
import pytest
from local_chain import LocalChain, Matcher, Venue, address_of, artifact, open_pool

from offchain.chain import contracts, logs, replies
from offchain.chain.abi import ErrorTable, Event, Function
from offchain.chain.contracts import cut_batch, places_to_cut, settle_calldata
from offchain.chain.replies import MalformedReply
from offchain.domain.amm import amount_out
from offchain.domain.batch import BatchFill, EpochHeader, SettlementBatch, SignedOrder
from offchain.domain.chainlog import AmmLegSettled, AnyChainLog, BatchSettled
from offchain.domain.eip712 import domain_separator, order_digest, order_message
from offchain.domain.errors import InvalidInput
from offchain.domain.order import Kind, Order, Side, TimeInForce
from offchain.domain.packed import canonical, unpack
from offchain.domain.units import Address, Lots, Ticks

COMPILED = {
    contracts.Pausable: "IPausable",
    contracts.Vault: "Vault",
    contracts.Settlement: "Settlement",
    contracts.OrderbookCommitment: "OrderbookCommitment",
    contracts.SynthIssuer: "SynthIssuer",
    contracts.PriceOracle: "PriceOracle",
    contracts.TwapSource: "TwapSource",
    contracts.SynthFactory: "SynthFactory",
    contracts.AmmFactory: "AmmFactory",
    contracts.AmmPair: "AmmPair",
    contracts.AmmRouter: "AmmRouter",
    contracts.Token: "TestUSDC",
}
TABLES = {
    "Vault": contracts.VAULT_ERRORS,
    "Settlement": contracts.SETTLEMENT_ERRORS,
    "OrderbookCommitment": contracts.COMMITMENT_ERRORS,
    "SynthIssuer": contracts.ISSUER_ERRORS,
    "PriceOracle": contracts.ORACLE_ERRORS,
    "SynthFactory": contracts.SYNTH_FACTORY_ERRORS,
    "TwoStepAdmin": contracts.ADMIN_ERRORS,
    "AmmFactory": contracts.AMM_FACTORY_ERRORS,
    "AmmPair": contracts.AMM_PAIR_ERRORS,
    "AmmRouter": contracts.AMM_ROUTER_ERRORS,
}


def kind_of(item: dict[str, Any]) -> str:
    kind: str = item["type"]
    if not kind.startswith("tuple"):
        return kind
    return "(" + ",".join(kind_of(part) for part in item["components"]) + ")" + kind[len("tuple") :]


def entries(name: str, kind: str) -> dict[str, dict[str, Any]]:
    """ABI entries of a compiled contract by signature."""
    found = [entry for entry in artifact(name)["abi"] if entry["type"] == kind]
    return {f"{entry['name']}({','.join(kind_of(item) for item in entry['inputs'])})": entry for entry in found}


def functions_of(holder: type) -> list[Function]:
    return [value for value in vars(holder).values() if isinstance(value, Function)]


@pytest.mark.parametrize("holder", COMPILED, ids=lambda holder: holder.__name__)
def test_functions_are_the_compiled_ones(holder: type) -> None:
    compiled = entries(COMPILED[holder], "function")
    identifiers = artifact(COMPILED[holder])["methodIdentifiers"]
    for function in functions_of(holder):
        assert function.signature in compiled
        assert function.selector.hex() == identifiers[function.signature]
        assert function.returns == [kind_of(item) for item in compiled[function.signature]["outputs"]] or not (
            function.returns
        ), function.signature


@pytest.mark.parametrize(("name", "table"), TABLES.items())
def test_errors_are_the_compiled_ones(name: str, table: ErrorTable) -> None:
    compiled = set(entries(name, "error"))
    assert set(table.signatures) <= compiled
    ours = {signature for signature in compiled if signature in entries(f"I{name}", "error")}
    assert ours <= set(contracts.ERRORS.signatures), "an error of the interface is not readable"


@pytest.mark.parametrize(("name", "table"), [("IVault", logs.VAULT_EVENTS), ("ISettlement", logs.SETTLEMENT_EVENTS)])
def test_every_sequenced_event_is_decoded(name: str, table: dict[str, Any]) -> None:
    events = entries(name, "event").items()
    compiled = {text: entry for text, entry in events if [item["name"] for item in entry["inputs"]][:1] == ["sequence"]}
    declared = {Event(declaration).signature: Event(declaration) for declaration in table}
    assert set(declared) == set(compiled)
    for signature, event in declared.items():
        inputs = compiled[signature]["inputs"]
        assert event.names == [item["name"] for item in inputs]
        assert event.indexed == [item["indexed"] for item in inputs]


def test_every_event_has_a_chain_log() -> None:
    kinds = {kind for table in (logs.VAULT_EVENTS, logs.SETTLEMENT_EVENTS) for kind in table.values()}
    assert kinds == set(get_args(AnyChainLog))


def test_a_batch_is_encoded_as_the_contract_reads_it(chain: LocalChain, venue: Venue) -> None:
    batch = Matcher(venue).batch(2)
    calldata = settle_calldata(batch, venue.fee_account)
    (packed,) = contracts.Settlement.settle.arguments(calldata)
    assert unpack(packed) == (msgspec.structs.replace(canonical(batch), batch=0), venue.fee_account)
    order = batch.orders[0].order
    answer = chain.rpc(
        "eth_call",
        {
            "to": venue.settlement,
            "data": "0x" + contracts.Settlement.hash_order.encode(tuple(order_message(order).values())).hex(),
        },
        "latest",
    )
    separator = domain_separator(venue.registry.chain_id, venue.settlement)
    assert answer == "0x" + order_digest(separator, order).hex()
    chain.do(address_of("settler"), venue.settlement, calldata, 2_000_000)
    last = chain.rpc(
        "eth_call", {"to": venue.settlement, "data": "0x" + contracts.Settlement.last_fill.encode().hex()}, "latest"
    )
    assert int(last, 16) == 2


def test_a_part_of_a_batch_keeps_only_the_orders_it_needs(venue: Venue) -> None:
    batch = Matcher(venue).batch(3)
    part = cut_batch(batch, 2)
    assert part.fills == batch.fills[:2]
    assert part.orders == batch.orders[:3]
    assert cut_batch(batch, 3) == batch


def test_a_batch_with_an_amm_fill_settles(chain: LocalChain, venue: Venue) -> None:
    pair = open_pool(chain, venue)
    batch = Matcher(venue).amm_batch(1_010_000)
    calldata = settle_calldata(batch, venue.fee_account)
    (packed,) = contracts.Settlement.settle.arguments(calldata)
    assert unpack(packed) == (msgspec.structs.replace(canonical(batch), batch=0), venue.fee_account)
    receipt = chain.do(address_of("settler"), venue.settlement, calldata, 2_000_000)
    decoder = logs.LogDecoder(venue.vault, venue.settlement)
    leg, settled = filter(None, (decoder.decode(raw, 1) for raw in replies.logs(receipt["logs"])))
    assert isinstance(leg, AmmLegSettled)
    assert isinstance(settled, BatchSettled)
    assert (leg.market, leg.fill, leg.is_buy, leg.amount_in) == (1, 2, True, 1_010_000)
    assert leg.amount_out == amount_out(1_010_000, 10**12, 10**21) > 100 * 10**13
    assert (settled.event_sequence, settled.refusals) == (leg.event_sequence + 1, ())
    asked = "0x" + contracts.Vault.balance_of.encode(pair, venue.usdc).hex()
    assert int(chain.rpc("eth_call", {"to": venue.vault, "data": asked}, "latest"), 16) == 0


def test_a_part_of_a_batch_with_an_amm_fill(venue: Venue) -> None:
    batch = Matcher(venue).amm_batch(1_010_000, fills=2)
    assert cut_batch(batch, 3) == batch
    part = cut_batch(batch, 2)
    assert (len(part.orders), len(part.fills), part.amm_quotes) == (3, 2, ())

    taken_back = msgspec.structs.replace(batch.fills[2], taker=0, size_lots=0)
    mended = msgspec.structs.replace(
        batch, orders=batch.orders[:3], fills=(taken_back, *batch.fills[:2]), amm_quotes=()
    )
    assert cut_batch(mended, 3) == mended
    alone = cut_batch(mended, 1)
    assert (alone.orders, alone.amm_quotes) == ((), ())
    assert alone.fills == (taken_back,)


def fok_batch(*takers: int, foks: frozenset[int] = frozenset((1,))) -> SettlementBatch:
    """One fill for each number of a taker; 0 stands for a taken-back one. `foks` are fill-or-kill."""
    orders = tuple(
        SignedOrder(
            Order(
                Address(f"0x{number:040x}"), 0, 1, Side.BUY, Kind.LIMIT,
                TimeInForce.FOK if number in foks else TimeInForce.IOC, 0, Ticks(1), Lots(9), Ticks(0), 0, number, 0,
            ),
            "0x",
        )
        for number in range(5)
    )  # fmt: skip
    return SettlementBatch(1, 1, orders, tuple(BatchFill(0, taker, int(taker > 0), 0, 0) for taker in takers))


@pytest.mark.parametrize(
    ("takers", "places"),
    [
        ((2, 3), [1, 2]),
        ((1, 1, 1), [3]),
        ((2, 1, 1, 3, 3), [1, 3, 4, 5]),
        ((2, 2, 1, 1), [1, 2, 4]),
        ((0, 0, 0), [1, 2, 3]),
        ((1, 1, 0, 2), [2, 3, 4]),
        ((0, 1, 1, 1), [1, 4]),
    ],
)
def test_no_cut_goes_through_a_fill_or_kill_order(takers: tuple[int, ...], places: list[int]) -> None:
    assert places_to_cut(fok_batch(*takers)) == places


def test_two_fill_or_kill_orders_can_be_parted() -> None:
    assert places_to_cut(fok_batch(1, 1, 2, 2, foks=frozenset((1, 2)))) == [2, 4]


def test_a_header_hashes_as_it_is_encoded(chain: LocalChain, venue: Venue) -> None:
    word = "0x" + "11" * 32
    header = EpochHeader(1, "0x" + "00" * 32, 1, 9, word, word, word, 2**100, 3, "0x" + "22" * 32)
    chain.do(address_of("committer"), venue.commitment, contracts.commit_calldata(header))
    asked = contracts.OrderbookCommitment.header_hash.encode(1)
    answer = chain.rpc("eth_call", {"to": venue.commitment, "data": "0x" + asked.hex()}, "latest")
    assert answer == "0x" + header.hash().hex()


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "reverted without a reason"),
        (Function("Overfilled(uint256)").encode(7), "Overfilled(7)"),
        (Function("Overfilled(uint256)").encode(7)[:20], "unknown error 0x"),
        (Function("Error(string)").encode("too late"), 'reverted: "too late"'),
        (Function("Panic(uint256)").encode(17), "panic 0x11 (overflow)"),
        (b"\x01\x02\x03\x04", "unknown error 0x01020304"),
    ],
)
def test_reverts_in_words(payload: bytes, words: str) -> None:
    assert contracts.ERRORS.explain(payload).startswith(words)


def test_what_does_not_encode_or_decode_is_said() -> None:
    with pytest.raises(InvalidInput, match="cancel"):
        contracts.Settlement.cancel.encode(-1)
    with pytest.raises(MalformedReply, match="lastFill"):
        contracts.Settlement.last_fill.decode(b"\x00" * 31)
    with pytest.raises(MalformedReply, match="lastFill"):
        contracts.Settlement.last_fill.decode(b"\xff" * 32)
    with pytest.raises(MalformedReply):
        logs.decode_refusals(b"\x00\x01")
    for broken in (bytes(20), bytes(21), bytes(20) + b"\x01" + bytes(36), bytes(20) + b"\x01" + bytes(38)):
        with pytest.raises(MalformedReply):
            logs.decode_changes(broken)
    assert logs.decode_refusals(bytes.fromhex("000102001085")) == ((1, 2), (16, 0x85))
