"""What is deployed where, who may do what, and what differs from the registry.

Invariant: every finding comes from the chain at the time of asking; a difference is said and counted, and nothing is
changed. Holders of roles are looked for among the addresses that the registry knows; `--history` reads the logs as
well and finds anyone. Deliberately no judgement about balances beyond telling them.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from offchain.chain.abi import Event, Function
from offchain.chain.contracts import PriceOracle, Settlement
from offchain.domain.keccak import keccak
from offchain.domain.limits import UPGRADE_DELAY_SECONDS_MIN
from offchain.domain.units import Address
from offchain.operations.onchain import ONE_KEY
from scripts._chain import BIG_BLOCK_GAS
from scripts._parameters import MORE_POSTERS
from scripts._roles import DEPLOYER, TIMELOCK, Grant, roles_of, table
from scripts._steps import HAS_ROLE, role_id
from scripts._timelock import MIN_DELAY, PendingOperation, pending_operations
from scripts._venue import Venue

IMPLEMENTATION_SLOT: Final = 0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC
"""EIP-1967: the hash of "eip1967.proxy.implementation", less one."""
PAUSABLE: Final = ("Vault", "Settlement", "SynthIssuer")
SENDERS: Final = ("settler", "committer", "poster", *MORE_POSTERS, "lister", "guardian", "proposer", DEPLOYER)
ACCOUNT_VIEWS: Final = {
    name: Function(f"{name}()", "address") for name in ("feeAccount", "treasuryAccount", "insuranceAccount", "cosigner")
}
PAUSED_UNTIL: Final = Function("pausedUntil()", "uint256")
ROLE_GRANTED: Final = Event("RoleGranted(bytes32 indexed role, address indexed account, address indexed sender)")


class Holder(NamedTuple):
    """`is_expected` as the table of roles says; `is_held` as the chain says."""

    contract: str
    role: str
    holder: str
    address: Address
    is_expected: bool
    is_held: bool


class Status(NamedTuple):
    """`problems` is empty if everything is as the registry says."""

    chain_id: int
    block: int
    block_gas: int
    contracts: dict[str, str]
    holders: list[Holder]
    is_history_read: bool
    delay_seconds: int
    operations: list[PendingOperation]
    pauses: dict[str, int]
    balances: dict[str, tuple[Address, int]]
    deployer_blocks: str
    markets: dict[str, str]
    feeds: dict[str, int]
    """Quorum by synth."""
    problems: list[str]

    @property
    def warnings(self) -> list[str]:
        """What is as the registry says, and still not what a venue with other people's money should have."""
        return [f"{symbol}: {ONE_KEY}" for symbol, quorum in self.feeds.items() if quorum == 1]

    def to_json(self) -> dict[str, Any]:
        return {
            "chainId": self.chain_id,
            "block": self.block,
            "blockGas": self.block_gas,
            "contracts": self.contracts,
            "roles": [holder._asdict() for holder in self.holders],
            "isHistoryRead": self.is_history_read,
            "timelockDelaySeconds": self.delay_seconds,
            "operations": [operation._asdict() for operation in self.operations],
            "pausedUntil": self.pauses,
            "balances": {name: {"address": who, "wei": str(wei)} for name, (who, wei) in self.balances.items()},
            "deployerBlocks": self.deployer_blocks,
            "markets": self.markets,
            "quorums": self.feeds,
            "warnings": self.warnings,
            "problems": self.problems,
        }


def look(venue: Venue, history: bool) -> Status:
    """One look at everything. `history` reads the logs of the role changes since the deployment."""
    chain = venue.chain
    head = chain.block()
    problems: list[str] = []
    contracts = _contracts(venue, problems)
    holders = _holders(venue, history or chain.is_development, int(head["number"]), problems)
    delay = _delay(venue, problems)
    _check_wiring(venue, problems)
    return Status(
        chain.id,
        int(head["number"]),
        int(head["gasLimit"]),
        contracts,
        holders,
        history or chain.is_development,
        delay,
        pending_operations(venue),
        _pauses(venue, int(head["timestamp"])),
        {name: (venue.roles[name], chain.balance(venue.roles[name])) for name in SENDERS if name in venue.roles},
        _deployer_blocks(venue),
        _markets(venue, problems),
        _feeds(venue),
        problems,
    )


def _contracts(venue: Venue, problems: list[str]) -> dict[str, str]:
    """What is at each address: ok, or what is wrong with it."""
    found = {}
    for name, contract in venue.registry.contracts.items():
        code = venue.chain.code(contract.address)
        found[name] = "ok"
        if not code:
            found[name] = "no code"
        elif contract.bytecode_hash and contract.bytecode_hash != "0x" + keccak(code).hex():
            found[name] = "other code"
        if found[name] != "ok":
            problems.append(f"{name}: {found[name]} at {contract.address}")
    return found


def _holders(venue: Venue, history: bool, head: int, problems: list[str]) -> list[Holder]:
    contracts, roles = venue.contracts, venue.roles
    expected = {(entry.contract, entry.role, _address(venue, entry)) for entry in table(contracts, roles)}
    people = dict.fromkeys([*roles.values(), *contracts.values()])
    asked = [
        (name, role, address)
        for name in contracts
        for role in roles_of(name)
        for address in (*people, *(_granted(venue, name, role, head) if history else ()))
    ]
    asked = [*dict.fromkeys([*asked, *(item for item in expected if item[2])])]
    answers = venue.chain.call_many(
        [(contracts[name], HAS_ROLE.encode(role_id(role), address)) for name, role, address in asked]
    )
    holders = []
    for item, answer in zip(asked, answers, strict=True):
        is_expected, is_held = item in expected, answer is not None and any(answer)
        if is_expected or is_held:
            name, role, address = item
            holders.append(Holder(name, role, venue.name_of(address), address, is_expected, is_held))
            if is_expected != is_held:
                verb = "lacks" if is_expected else "holds"
                problems.append(f"{venue.name_of(address)} ({address}) {verb} {role} of {name}")
    unknown = sorted({entry.holder for entry in table(contracts, roles)} - set(contracts) - set(roles))
    if unknown:
        problems.append(f"the registry does not say who is {', '.join(unknown)}")
    return sorted(holders)


def _address(venue: Venue, entry: Grant) -> Address:
    return venue.contracts.get(entry.holder) or venue.roles.get(entry.holder) or Address("")


def _granted(venue: Venue, name: str, role: str, head: int) -> Iterable[Address]:
    """Whoever was ever granted the role, by the logs."""
    contract = venue.registry.contracts[name]
    topics = ["0x" + ROLE_GRANTED.topic.hex(), "0x" + role_id(role).hex()]
    for log in venue.chain.logs([contract.address], topics, contract.block, head):
        yield Address("0x" + bytes(log["topics"][2])[12:].hex())


def _delay(venue: Venue, problems: list[str]) -> int:
    delay = int(MIN_DELAY.decode(venue.chain.call(venue.contracts[TIMELOCK], MIN_DELAY.encode()))[0])
    if delay < UPGRADE_DELAY_SECONDS_MIN:
        problems.append(f"the timelock's delay is {delay} s, less than {UPGRADE_DELAY_SECONDS_MIN}")
    return delay


def _check_wiring(venue: Venue, problems: list[str]) -> None:
    """The proxy's implementation, and the accounts that the Vault was given."""
    vault = venue.contracts["Vault"]
    implementation = Address("0x" + venue.chain.storage(vault, IMPLEMENTATION_SLOT)[12:].hex())
    if implementation != venue.contracts["VaultImplementation"]:
        problems.append(f"Vault runs {implementation}, which is not VaultImplementation")
    for name, view in ACCOUNT_VIEWS.items():
        (address,) = view.decode(venue.chain.call(vault, view.encode()))
        if name in venue.roles and str(address).lower() != venue.roles[name]:
            problems.append(f"the Vault's {name} is {address}, and the registry says {venue.roles[name]}")


def _pauses(venue: Venue, now: int) -> dict[str, int]:
    """Until when something is paused; 0 for what is not."""
    names = [name for name in PAUSABLE if name in venue.contracts]
    answers = venue.chain.call_many([(venue.contracts[name], PAUSED_UNTIL.encode()) for name in names])
    until = {
        name: int.from_bytes(answer)
        for name, answer in zip(names, answers, strict=True)
        if answer and len(answer) == 32
    }
    return {name: moment if moment > now else 0 for name, moment in until.items()}


def _deployer_blocks(venue: Venue) -> str:
    if DEPLOYER not in venue.roles:
        return "unknown: the registry names no deployer"
    answer = venue.chain.uses_big_blocks(venue.roles[DEPLOYER])
    if answer is None:
        return "unknown: the endpoint does not tell"
    return f"big ({BIG_BLOCK_GAS:,} gas)" if answer else "small"


def _feeds(venue: Venue) -> dict[str, int]:
    """Of the registry's synths that have a feed."""
    if "PriceOracle" not in venue.contracts:
        return {}
    oracle, synths = venue.contracts["PriceOracle"], venue.registry.synths
    calls = [(oracle, PriceOracle.feed_of.encode(venue.registry.synth(symbol))) for symbol in synths]
    found = {}
    for symbol, answer in zip(synths, venue.chain.call_many(calls), strict=True):
        quorum = int(PriceOracle.feed_of.decode(answer)[0][0]) if answer else 0
        if quorum:
            found[symbol] = quorum
    return found


def _markets(venue: Venue, problems: list[str]) -> dict[str, str]:
    found = {}
    names = list(venue.registry.markets)
    calls = [
        (venue.contracts["Settlement"], Settlement.market_of.encode(venue.registry.markets[name].market))
        for name in names
    ]
    for symbol, answer in zip(names, venue.chain.call_many(calls), strict=True):
        entry = venue.registry.markets[symbol]
        base, base_atoms, quote_atoms = Settlement.market_of.decode(answer or b"")[0]
        found[symbol] = f"number {entry.market}, lot {base_atoms} atoms, {quote_atoms} quote atoms a tick and lot"
        if str(base).lower() != entry.base_token:
            found[symbol] = "not listed" if not int(str(base), 16) else f"trades {base}"
            problems.append(f"market {symbol}: {found[symbol]}, and the registry says {entry.base_token}")
    return found
