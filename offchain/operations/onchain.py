"""Looks at the chain: endpoints, head, clock, contracts, and what each key may do and pay for. Only reads."""

import time
from collections.abc import Iterable
from typing import NamedTuple

from offchain.chain.contracts import PriceOracle, Token, Vault
from offchain.chain.registry import Registry
from offchain.chain.roles import HAS_ROLE, REMEDY, ROLES
from offchain.chain.synths import all_synths
from offchain.chain.wallet import Endpoint
from offchain.domain.eip712 import separator_of
from offchain.domain.errors import ChainError, TransactionFailed
from offchain.domain.keccak import keccak
from offchain.domain.units import Address
from offchain.operations.findings import Finding, fail, ok, warn

HEAD_AGE_WARN = 15
HEAD_AGE_FAIL = 60
CLOCK_AHEAD_MAX = 3
"""Seconds that a block may be ahead of this machine's clock."""
BALANCE_LOW_WEI = 10**16
"""About a thousand settlements at the base fee that HyperEVM has shown."""
COSIGNER = "cosigner"
ONE_KEY = "the quorum is 1, so that one posting key makes the price"


class Holder(NamedTuple):
    """A key by its use: a keeper's name, or COSIGNER."""

    use: str
    address: Address


def look_at_endpoint(url: str, chain_id: int) -> Iterable[Finding]:
    """Does it answer, for this chain, with a young block; and do its clock and ours agree?"""
    endpoint = Endpoint(url)
    host = endpoint.host
    try:
        served = int(endpoint.ask("eth_chainId"), 16)
        head = endpoint.ask("eth_getBlockByNumber", "latest", False)
        number, at = int(head["number"], 16), int(head["timestamp"], 16)
    except (ChainError, ValueError, TypeError, KeyError):
        yield fail("rpc", f"no answer from {host}", "Check --rpc, and that the node is running")
        return
    if served != chain_id:
        yield fail("rpc", f"{host} serves chain {served}, not {chain_id}", "Check --rpc and --chain-id")
        return
    yield ok("rpc", f"{host} serves chain {served}")
    age = time.time() - at
    words = f"block {number} is {age:.0f} s old by this machine's clock ({host})"
    if age < -CLOCK_AHEAD_MAX:
        yield fail("clock", f"block {number} is {-age:.0f} s in the future", "Set the clock: run chrony or timesyncd")
    elif age > HEAD_AGE_FAIL:
        yield fail("head", words, "The endpoint lags or this clock is ahead: compare both with another source")
    elif age > HEAD_AGE_WARN:
        yield warn("head", words, "Look again in a minute")
    else:
        yield ok("head", words)


def look_at_contracts(url: str, registry: Registry) -> Iterable[Finding]:
    """Code where the registry says, with the hash it says."""
    endpoint, wrong = Endpoint(url), 0
    for name, contract in registry.contracts.items():
        code = bytes.fromhex(endpoint.ask("eth_getCode", contract.address, "latest")[2:])
        found = "0x" + keccak(code).hex()
        if not code:
            yield fail(
                "contracts",
                f"no code at {contract.address} ({name})",
                "Deploy, or name another --registry",
            )
        elif contract.bytecode_hash and contract.bytecode_hash.lower() != found:
            yield fail(
                "contracts", f"the code at {contract.address} is not the {name} that was deployed", "Check --registry"
            )
        else:
            continue
        wrong += 1
    if not wrong:
        yield ok("contracts", f"{len(registry.contracts)} have the code that was deployed")


def look_at_permits(url: str, registry: Registry) -> Iterable[Finding]:
    """Whether wallets are asked to sign permits that the settlement token takes: the relay keeper stops otherwise."""
    name, version, token = registry.permit_name, registry.permit_version, registry.quote_token
    if not name:
        yield ok("permits", "the registry names no domain of permits: no deposits are relayed")
        return
    words, remedy = f"{name}, version {version}", "Correct permitName and permitVersion in the registry"
    try:
        (found,) = Endpoint(url).call(token, Token.domain_separator)
    except TransactionFailed:
        yield fail("permits", f"{token} has no permits, and the registry says {words}", remedy)
        return
    if found == separator_of(name, version, registry.chain_id, token):
        yield ok("permits", f"those of {token} are signed for {words}")
    else:
        yield fail("permits", f"those of {token} are not signed for {words}", remedy)


def look_at_feeds(url: str, registry: Registry) -> Iterable[Finding]:
    """How many readings make the price of each synth, also of one that was created after the deployment."""
    if "PriceOracle" not in registry.contracts:
        return
    endpoint, oracle = Endpoint(url), registry.address("PriceOracle")
    quorums = {
        symbol: int(endpoint.call(oracle, PriceOracle.feed_of, synth)[0][0])
        for symbol, synth in all_synths(endpoint.call, registry).items()
    }
    alone = [symbol for symbol, quorum in quorums.items() if quorum == 1]
    if alone:
        yield warn("price feeds", f"{', '.join(alone)}: {ONE_KEY}", "Have more posters, and the timelock raise it")
    elif any(quorums.values()):
        yield ok("price feeds", ", ".join(f"{symbol} takes {quorum}" for symbol, quorum in quorums.items() if quorum))


def look_at_holder(url: str, registry: Registry, holder: Holder) -> Iterable[Finding]:
    """Roles, balance and block mode of one key."""
    endpoint, who = Endpoint(url), f"{holder.use} {holder.address}"
    if holder.use == COSIGNER:
        (found,) = endpoint.call(registry.address("Vault"), Vault.cosigner)
        if found.lower() == holder.address:
            yield ok("key", f"{who} is the Vault's cosigner")
        else:
            yield fail(
                "key", f"the Vault's cosigner is {found.lower()}, not {holder.address}", "Check --attestation-key"
            )
        return
    for contract, role in ROLES.get(holder.use, ()):
        yield _role(endpoint, registry, holder, contract, role)
    balance = int(endpoint.ask("eth_getBalance", holder.address, "latest"), 16)
    words = f"{who} has {balance / 10**18:.6f} HYPE"
    if balance == 0:
        yield fail("balance", words, "Send it some: it cannot pay for gas")
    elif balance < BALANCE_LOW_WEI:
        yield warn("balance", words, "Send it some soon")
    else:
        yield ok("balance", words)
    yield _block_mode(endpoint, holder)


def _role(endpoint: Endpoint, registry: Registry, holder: Holder, contract: str, role: str) -> Finding:
    (has,) = endpoint.call(registry.address(contract), HAS_ROLE, keccak(role.encode()), holder.address)
    words = f"{role} of {contract}"
    if has:
        return ok("role", f"{holder.use} {holder.address} has {words}")
    return fail("role", f"{holder.use} {holder.address} lacks {words}", REMEDY)


def _block_mode(endpoint: Endpoint, holder: Holder) -> Finding:
    """A keeper in big-block mode waits a minute for every transaction."""
    try:
        uses_big = bool(endpoint.ask("eth_usingBigBlocks", holder.address))
    except TransactionFailed:
        what = f"the endpoint does not say whether {holder.use} {holder.address} uses big blocks"
        return warn("block mode", what, "Ask another endpoint, or watch how long its transactions take")
    if uses_big:
        remedy = "Send evmUserModify with usingBigBlocks false from that key"
        return fail("block mode", f"{holder.use} {holder.address} uses big blocks: a minute each", remedy)
    return ok("block mode", f"{holder.use} {holder.address} uses small blocks")
