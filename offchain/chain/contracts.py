"""The contracts' functions that anything off chain calls, typed; and their errors in words.

Twins: contracts/interfaces/*.sol; tests compare every signature here with the compiled contracts. Encoding only:
nothing here talks to a node, and nothing decides what to send.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from offchain.chain.abi import ErrorTable, Function
from offchain.domain.batch import AMM_MAKER, EpochHeader, SettlementBatch, SignedOrder
from offchain.domain.eip712 import Withdrawal, compact
from offchain.domain.order import TimeInForce
from offchain.domain.packed import pack
from offchain.domain.relayed import RequestAgent, RequestDeposit
from offchain.domain.units import Address, from_hex

ORDER = "(address,uint8,uint32,uint8,uint8,uint8,uint16,uint64,uint64,uint64,int32,uint64,uint40)"
AGENT_TERMS = "(address,uint40,uint128,uint32[])"
HEADER = "(uint64,bytes32,uint64,uint64,bytes32,bytes32,bytes32,uint128,uint32,bytes32)"
AUTHORIZATION = "(uint256,uint256,bytes)"
WITHDRAWAL = "(address,address,uint256,address,bool,uint256,uint256)"
SYNTH_TERMS = "(uint128,uint16,uint16,uint16)"
FEED = "(uint8,uint32,uint32,address[])"
PERMIT = "(uint256,uint256,uint8,bytes32,bytes32)"
TOTALS = "(uint256,uint256,uint256,uint256,uint256,uint256)"


class Pausable:
    """Twin: IPausable.sol, of Vault (deposits), Settlement (batches) and SynthIssuer (new debt)."""

    pause = Function("pause()")
    unpause = Function("unpause()")
    paused_until = Function("pausedUntil()", "uint256")


class Vault:
    """Twin: IVault.sol."""

    sequence = Function("sequence()", "uint64")
    reconcile = Function("reconcile(address[],address[])", "uint256", "uint64", f"{TOTALS}[]", "uint256[][]")
    balance_of = Function("balanceOf(address,address)", "uint256")
    debitable = Function("debitable(address,address)", "uint256")
    request_of = Function("requestOf(address,address)", "(uint128,uint40,address)")
    index = Function("index()", "uint256")
    quote_token = Function("quoteToken()", "address")
    fee_account = Function("feeAccount()", "address")
    treasury_account = Function("treasuryAccount()", "address")
    insurance_account = Function("insuranceAccount()", "address")
    cosigner = Function("cosigner()", "address")
    domain_separator = Function("domainSeparator()", "bytes32")
    is_synth = Function("isSynth(address)", "bool")
    deposit = Function("deposit(uint256)")
    deposit_for = Function("depositFor(address,uint256)")
    deposit_with_permit = Function("depositWithPermit(address,uint256,uint256,uint8,bytes32,bytes32)")
    deposit_synth = Function("depositSynth(address,uint256)")
    request_withdrawal = Function("requestWithdrawal(address,uint128,address)")
    cancel_withdrawal_request = Function("cancelWithdrawalRequest(address)")
    complete_withdrawal = Function("completeWithdrawal(address,address)")
    withdraw = Function("withdraw(uint256,bool)")
    withdraw_approved = Function(f"withdrawApproved({WITHDRAWAL},bytes,{AUTHORIZATION})")


class Settlement:
    """Twin: ISettlement.sol."""

    settle = Function("settle(bytes)")
    cancel = Function("cancel(uint64)")
    cancel_many = Function("cancelMany(uint64[])")
    cancel_all = Function("cancelAll(uint48)")
    register_agent = Function(f"registerAgent({AGENT_TERMS})")
    register_agent_for = Function(f"registerAgentFor(address,{AGENT_TERMS},uint256,bytes)")
    revoke_agent = Function("revokeAgent(address,address)")
    agent_of = Function("agentOf(address,address,uint32)", "bool", "uint256", "uint256")
    list_market = Function("listMarket(uint32,address,uint128,uint64,string)")
    last_fill = Function("lastFill()", "uint64")
    market_of = Function("marketOf(uint32)", "(address,uint128,uint64)")
    slot_of = Function("slotOf(address,uint16)", "uint48", "uint64")
    hash_order = Function(f"hashOrder({ORDER})", "bytes32")
    domain_separator = Function("domainSeparator()", "bytes32")


class OrderbookCommitment:
    """Twin: IOrderbookCommitment.sol."""

    commit = Function(f"commit({HEADER})")
    verify_order = Function(f"verifyOrder({HEADER},uint64,bytes32,bytes32[])", "bool")
    header_hash = Function("headerHash(uint64)", "bytes32")
    last_epoch = Function("lastEpoch()", "uint64")
    last_sequence = Function("lastSequence()", "uint64")
    domain_separator = Function("domainSeparator()", "bytes32")


class SynthIssuer:
    """Twin: ISynthIssuer.sol."""

    configure = Function(f"configure(address,{SYNTH_TERMS})")
    open = Function(f"open(address,uint128,uint128,{AUTHORIZATION})")
    close = Function(f"close(address,uint128,uint128,{AUTHORIZATION})")
    liquidate = Function(f"liquidate(address,address,uint128,uint128,{AUTHORIZATION})", "uint128", "uint128")
    absorb = Function("absorb(address,address)")
    shut_down = Function("shutDown(address)")
    reprice = Function("reprice(address)")
    settle_positions = Function("settlePositions(address,address[])")
    redeem = Function(f"redeem(address,uint256,{AUTHORIZATION})", "uint256")
    position_of = Function("positionOf(address,address)", "(uint128,uint128)")
    position_count = Function("positionCount(address)", "uint256")
    positions_of = Function("positionsOf(address,uint256,uint256)", "address[]", "(uint128,uint128)[]")
    terms_of = Function("termsOf(address)", SYNTH_TERMS)
    debt_of = Function("debtOf(address)", "uint256")
    is_liquidatable = Function("isLiquidatable(address,address)", "bool")
    liquidatable_debt = Function("liquidatableDebt(address,address)", "uint256")


class SynthFactory:
    """Twin: ISynthFactory.sol."""

    create_synth = Function("createSynth(string,string)", "address")
    register_synth = Function("registerSynth(address)")
    synth_of = Function("synthOf(string)", "address")
    predict_synth = Function("predictSynth(string,string)", "address")


class PriceOracle:
    """Twin: IPriceOracle.sol."""

    configure = Function(f"configure(address,{FEED})")
    post = Function("post(address[],uint256[])")
    post_until = Function("postUntil(uint40,address[],uint256[])")
    accept = Function("accept(address)", "bool")
    price_of = Function("priceOf(address)", "uint256", "uint40", "uint40", "uint32")
    feed_of = Function("feedOf(address)", FEED)
    median_of = Function("medianOf(address)", "uint256", "uint8")
    post_of = Function("postOf(address,address)", "uint256", "uint40")
    posters = Function("posters()", "address[]")


class TwapSource:
    """Twin: ITwapSource.sol."""

    update = Function("update(address)", "bool")
    last_update = Function("lastUpdate(address)", "uint32")
    window = Function("WINDOW()", "uint32")


class AmmFactory:
    """Twin: IAmmFactory.sol."""

    create_pair = Function("createPair(address)", "address")
    pair_of = Function("pairOf(address)", "address")
    predict_pair = Function("predictPair(address)", "address")
    pair_at = Function("pairAt(uint256)", "address")
    pair_count = Function("pairCount()", "uint256")


class AmmPair:
    """Twin: IAmmPair.sol. Its shares are a `Token`."""

    base = Function("base()", "address")
    reserves = Function("reserves()", "uint112", "uint112", "uint32")
    cumulative_prices = Function("cumulativePrices()", "uint256", "uint256", "uint32")
    get_amount_out = Function("getAmountOut(uint256,bool)", "uint256")
    get_amount_in = Function("getAmountIn(uint256,bool)", "uint256")


class AmmRouter:
    """Twin: IAmmRouter.sol."""

    swap_exact_in = Function(f"swapExactIn(address,address,uint256,uint256,address,uint256,{PERMIT})", "uint256")
    swap_exact_out = Function(f"swapExactOut(address,address,uint256,uint256,address,uint256,{PERMIT})", "uint256")
    add_liquidity = Function(
        "addLiquidity(address,uint256,uint256,uint256,uint256,address,uint256)", "uint256", "uint256", "uint256"
    )
    remove_liquidity = Function(
        f"removeLiquidity(address,uint256,uint256,uint256,address,uint256,{PERMIT})", "uint256", "uint256"
    )
    quote_exact_in = Function("quoteExactIn(address,address,uint256)", "uint256")
    quote_exact_out = Function("quoteExactOut(address,address,uint256)", "uint256")


class Token:
    """ERC-20 with ERC-2612, and the open mint of TestUSDC."""

    balance_of = Function("balanceOf(address)", "uint256")
    allowance = Function("allowance(address,address)", "uint256")
    approve = Function("approve(address,uint256)")
    decimals = Function("decimals()", "uint8")
    symbol = Function("symbol()", "string")
    nonces = Function("nonces(address)", "uint256")
    domain_separator = Function("DOMAIN_SEPARATOR()", "bytes32")
    total_supply = Function("totalSupply()", "uint256")
    mint = Function("mint(address,uint256)")


SETTLEMENT_ERRORS = ErrorTable(
    "NotConsecutive(uint64,uint64)",
    "MalformedBatch()",
    "InvalidSigner(uint256,address)",
    "UnknownMarket(uint32)",
    "Mismatched(uint256)",
    "LimitCrossed(uint256)",
    "Overfilled(uint256)",
    "FeeAboveCap(uint256)",
    "MalformedOrder(uint256)",
    "MarketExists(uint32)",
    "MalformedMarket(uint32)",
    "BrokenPromise(uint64,uint256,uint256)",
    "ForeignAmmFactory(address)",
    "MalformedAgent()",
    "AgentStillBinds(address,address)",
    "NoAgent(address,address)",
    "NotYours(address,address)",
    "DeadlinePassed(uint256)",
)
VAULT_ERRORS = ErrorTable(
    "ZeroAmount()",
    "ZeroAddress()",
    "UnknownToken(address)",
    "InsufficientBalance(address,address,uint256,uint256)",
    "RequestPending()",
    "NoRequest()",
    "RequestNotMatured(uint256)",
    "RequestExceeded(uint256,uint256)",
    "InvalidSigner(address)",
    "DeadlinePassed(uint256)",
    "NonceUsed(uint256)",
    "NotConvertible(address)",
    "InternalDestination()",
    "OutflowCapped(address,uint256,uint256)",
    "NoShortfall()",
    "Unbalanced(address)",
    "NotRegistrable(address)",
    "UpgradeDelayTooShort(address)",
)
PAUSE_ERRORS = ErrorTable("IsPaused(uint256)", "PauseTooSoon(uint256)")
COMMITMENT_ERRORS = ErrorTable(
    "NotConsecutive(uint64,uint64)", "WrongParent(bytes32,bytes32)", "WrongRange(uint64,uint64)", "ZeroRoot()"
)
ISSUER_ERRORS = ErrorTable(
    "MalformedTerms()",
    "NoTerms(address)",
    "Undercollateralized(uint256,uint256)",
    "CollateralTooSmall(uint256)",
    "CeilingExceeded(uint256,uint256)",
    "StalePrice(uint40)",
    "PriceResumed(uint256)",
    "ExceedsPosition()",
    "NotLiquidatable(uint256,uint256)",
    "NotUnderWater(uint256,uint256)",
    "IsInsurance(address)",
    "TooLittleCollateral(uint256,uint256)",
    "IsShutDown(address)",
    "NotShutDown(address)",
    "ShutDownTooSoon(uint256)",
    "PriceAvailable(address)",
    "PriceNotFinal(uint256)",
    "PriceFinal(uint256)",
    "NoDebt(address)",
    "PositionsUnsettled(uint256)",
    "NotRedeemable(uint256,uint256)",
    "IsPaused(uint256)",
    "PauseTooSoon(uint256)",
)
ORACLE_ERRORS = ErrorTable(
    "UnknownFeed(address)",
    "MalformedFeed()",
    "PriceOutOfRange(uint256)",
    "LengthMismatch()",
    "DeadlinePassed(uint40)",
    "TooManyPosters()",
    "InsufficientGas()",
)
SYNTH_FACTORY_ERRORS = ErrorTable("SymbolTaken(string)", "MalformedName()", "UnknownSynth(address)")
ADMIN_ERRORS = ErrorTable("AdminMovesInTwoSteps()", "NotOffered(address)")
AMM_FACTORY_ERRORS = ErrorTable("PairExists(address)", "NotPoolable(address)")
AMM_PAIR_ERRORS = ErrorTable(
    "InsufficientLiquidity()", "InsufficientInput()", "InsufficientOutput()", "InvalidReceiver()", "ReserveOverflow()"
)
AMM_ROUTER_ERRORS = ErrorTable(
    "DeadlinePassed(uint256)",
    "TooLittleOut(uint256,uint256)",
    "TooMuchIn(uint256,uint256)",
    "TooLittleIn(uint256,uint256)",
    "InvalidReceiver()",
    "UnknownPool(address)",
)
LIBRARY_ERRORS = ErrorTable(
    "AccessControlUnauthorizedAccount(address,bytes32)",
    "ReentrancyGuardReentrantCall()",
    "SafeCastOverflowedUintDowncast(uint8,uint256)",
    "SafeERC20FailedOperation(address)",
    "ERC20InsufficientAllowance(address,uint256,uint256)",
    "ERC20InsufficientBalance(address,uint256,uint256)",
)
ERRORS = ErrorTable(
    *dict.fromkeys(
        signature
        for table in (
            SETTLEMENT_ERRORS,
            VAULT_ERRORS,
            PAUSE_ERRORS,
            COMMITMENT_ERRORS,
            ISSUER_ERRORS,
            ORACLE_ERRORS,
            SYNTH_FACTORY_ERRORS,
            ADMIN_ERRORS,
            AMM_FACTORY_ERRORS,
            AMM_PAIR_ERRORS,
            AMM_ROUTER_ERRORS,
            LIBRARY_ERRORS,
        )
        for signature in table.signatures
    )
)
"""All of them: a revert often comes from a contract behind the one that was called."""


class Totals(NamedTuple):
    """Per token since deployment. Twin: `IVault.Totals`."""

    deposits: int
    withdrawals: int
    minted: int
    burned: int
    locked: int
    internal_total: int


class Reconciliation(NamedTuple):
    """One consistent look at the Vault; `balances[i][j]` of account i in token j."""

    block_number: int
    sequence: int
    totals: tuple[Totals, ...]
    balances: tuple[tuple[int, ...], ...]


def decode_reconciliation(raw: bytes) -> Reconciliation:
    block_number, sequence, totals, balances = Vault.reconcile.decode(raw)
    return Reconciliation(
        block_number, sequence, tuple(Totals(*entry) for entry in totals), tuple(tuple(row) for row in balances)
    )


def settle_calldata(batch: SettlementBatch, fee_account: Address) -> bytes:
    """`fee_account` is the venue's. `InvalidInput` for a batch that has no packed form."""
    return Settlement.settle.encode(pack(batch, fee_account))


def commit_calldata(header: EpochHeader) -> bytes:
    return OrderbookCommitment.commit.encode(header_tuple(header))


def header_tuple(header: EpochHeader) -> tuple[object, ...]:
    """The header as the contract's struct."""
    return (
        header.epoch,
        from_hex(header.parent),
        header.first,
        header.last,
        from_hex(header.orders_root),
        from_hex(header.commands_root),
        from_hex(header.state_root),
        header.volume,
        header.count,
        from_hex(header.data_hash),
    )


def withdraw_approved_calldata(
    withdrawal: Withdrawal, owner_signature: str, nonce: int, deadline: int, cosignature: str
) -> bytes:
    """`nonce` and `deadline` are those of the countersignature. The signatures go in their short form, which saves 260
    gas."""
    authorization = (nonce, deadline, compact(from_hex(cosignature)))
    return Vault.withdraw_approved.encode(tuple(withdrawal), compact(from_hex(owner_signature)), authorization)


def deposit_with_permit_calldata(request: RequestDeposit) -> bytes:
    signature = from_hex(request.signature)
    r, s, v = signature[:32], signature[32:64], signature[64]
    return Vault.deposit_with_permit.encode(request.account, request.amount, request.deadline, v, r, s)


def register_agent_calldata(request: RequestAgent) -> bytes:
    terms = (request.agent, request.expiry, request.notional, request.markets)
    return Settlement.register_agent_for.encode(request.account, terms, request.deadline, from_hex(request.signature))


def cut_batch(batch: SettlementBatch, fills: int) -> SettlementBatch:
    """The first fills of a batch with only the orders and quotes that they need: for finding the fill that sinks it.

    A fill that was taken back needs none: what it names may not even be there.
    """
    kept = batch.fills[:fills]
    live = [fill for fill in kept if fill.size_lots]
    used = sorted({index for fill in live for index in (fill.maker, fill.taker)} - {AMM_MAKER})
    place = {index: position for position, index in enumerate(used)} | {AMM_MAKER: AMM_MAKER}
    orders: Sequence[SignedOrder] = [batch.orders[index] for index in used]
    moved = [
        msgspec.structs.replace(fill, maker=place.get(fill.maker, 0), taker=place.get(fill.taker, 0)) for fill in kept
    ]
    quotes = batch.amm_quotes[: sum(fill.maker == AMM_MAKER for fill in live)]
    return SettlementBatch(batch.batch, batch.first, tuple(orders), tuple(moved), quotes)


def places_to_cut(batch: SettlementBatch) -> list[int]:
    """After how many fills `cut_batch` may cut: nowhere inside the fills of one fill-or-kill order, which the contract
    takes together or not at all. Ascending; the last one is the whole batch."""
    takers = [fill.taker if fill.size_lots else None for fill in batch.fills]
    return [
        place
        for place in range(1, len(takers) + 1)
        if place == len(takers)
        or takers[place] is None
        or takers[place] != takers[place - 1]
        or not _is_fok(batch, takers[place])
    ]


def _is_fok(batch: SettlementBatch, order: int | None) -> bool:
    return order is not None and batch.orders[order].order.time_in_force is TimeInForce.FOK


def to_checked_address(value: object) -> Address:
    """What eth-abi decodes an address to, as the key that is used everywhere."""
    return Address(str(value).lower())
