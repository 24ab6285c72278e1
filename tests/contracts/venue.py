"""The whole venue for ape tests: the contracts as they are deployed, who may do what, and what people sign.

Everything is signed with eth_account, from the typed data that the venue itself publishes: a test passes only if the
contract, `offchain.domain.eip712` and eth_account agree on every byte.
"""

import re
from ast import literal_eval
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import ape
from ape.contracts import ContractContainer, ContractEvent, ContractInstance
from ape.exceptions import ContractLogicError, CustomError
from eth_abi.abi import decode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import to_checksum_address
from ethpm_types import ContractType

from offchain.chain.logs import decode_changes
from offchain.domain import eip712
from offchain.domain.batch import AMM_MAKER, BatchFill, SettlementBatch, SignedOrder
from offchain.domain.keccak import keccak
from offchain.domain.limits import SETTLEMENT_WINDOW_SECONDS
from offchain.domain.order import Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.packed import pack
from offchain.domain.units import Address, Lots, Ticks
from scripts._artifacts import load_artifacts

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = (
    *("TestUSDC", "CXPT", "SynthERC20", "SynthFactory", "Vault", "VaultProxy", "AmmPair", "AmmFactory", "AmmRouter"),
    *("Settlement", "OrderbookCommitment", "PriceOracle", "SynthIssuer", "Timelock"),
)
PEOPLE = (
    *("admin", "settler", "committer", "poster", "alice", "bob", "carol", "relay"),
    *("cosigner", "fees", "treasury", "insurance"),
)

MARKET = 1
LOT = 10**13
"""Atoms of hBTC in a lot; one tick of one lot is one unit."""
CAP = 10_000
WINDOW = SETTLEMENT_WINDOW_SECONDS
EXIT_DELAY = 15 * 60
UPGRADE_DELAY = 24 * 3600
HOUR = 3600
PERMIT_TYPE = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
TERMS = (2**128 - 1, 150, 120, 10)
"""No ceiling, initial and maintenance ratio, bonus."""
FEED = (1, HOUR, 1_000_000, [])
"""One reading counts for an hour; the price may double in a minute."""
NO_APPROVAL = (0, 0, b"")
"""Draw on the account's own matured request."""


class Fill(NamedTuple):
    maker: Order
    taker: Order
    lots: int
    maker_ppm: int = 0
    taker_ppm: int = 0


class AmmFill(NamedTuple):
    """All of `taker` with its market's pair for `quote` units."""

    taker: Order
    quote: int
    taker_ppm: int = 0


def orders_of(fill: Fill | AmmFill) -> tuple[Order, ...]:
    return (fill.taker,) if isinstance(fill, AmmFill) else (fill.maker, fill.taker)


@cache
def error_entries() -> dict[bytes, dict[str, Any]]:
    """Every custom error by selector: two contracts may have different ones of the same name."""
    artifacts = load_artifacts(ROOT, CONTRACTS).values()
    return {selector_of(entry): entry for artifact in artifacts for entry in artifact.abi if entry["type"] == "error"}


def selector_of(entry: dict[str, Any]) -> bytes:
    """First four bytes of what reverts with this custom error."""
    kinds = ",".join(item["type"] for item in entry["inputs"])
    return keccak(f"{entry['name']}({kinds})".encode())[:4]


def containers() -> dict[str, ContractContainer]:
    """The contracts by name. Each also knows the errors of the others: what it calls reverts through it."""
    artifacts = load_artifacts(ROOT, CONTRACTS)
    errors = {entry["name"]: entry for entry in reversed(error_entries().values())}
    made = {}
    for name, artifact in artifacts.items():
        own = {entry.get("name") for entry in artifact.abi if entry["type"] == "error"}
        abi = [*artifact.abi, *(entry for error, entry in errors.items() if error not in own)]
        code = {"bytecode": "0x" + artifact.creation_code.hex()}
        made[name] = ContractContainer(
            ContractType.model_validate({"contractName": name, "abi": abi, "deploymentBytecode": code})
        )
    return made


class Venue:
    """Deploys and wires, as tests/forge/Fixture.sol does, but with a holder of its own for every role."""

    def __init__(self, accounts: Any, chain: Any) -> None:
        self.chain = chain
        self.people = {name: accounts[number] for number, name in enumerate(PEOPLE)}
        self._names = {account.address: name for name, account in self.people.items()}
        self._approvals = 0
        self.types = containers()
        self._deploy()
        self._wire()

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["people"][name]
        except KeyError:
            raise AttributeError(name) from None

    def create(self, name: str, *arguments: Any) -> ContractInstance:
        return self.people["admin"].deploy(self.types[name], *arguments)

    def create_synth(self, name: str, symbol: str) -> ContractInstance:
        """A clone, not yet registered with the Vault."""
        self.synth_factory.createSynth(name, symbol, sender=self.people["admin"])
        address = self.synth_factory.synthOf(symbol)
        return self.types["SynthERC20"].at(address, fetch_from_explorer=False, detect_proxy=False)

    def _deploy(self) -> None:
        admin = self.people["admin"]
        self.usdc = self.create("TestUSDC")
        self.cxpt = self.create("CXPT", admin)
        self.implementation = self.create("Vault")
        named = [self.people[name] for name in ("cosigner", "fees", "treasury", "insurance")]
        initialization = self.implementation.initialize.encode_input(admin, self.usdc, self.cxpt, *named, 0)
        proxy = self.create("VaultProxy", self.implementation, initialization)
        self.vault = self.types["Vault"].at(proxy.address, fetch_from_explorer=False, detect_proxy=False)
        self.synth_implementation = self.create("SynthERC20", self.vault)
        self.synth_factory = self.create("SynthFactory", admin, self.synth_implementation)
        self.factory = self.create("AmmFactory", self.vault, self.create("AmmPair"))
        self.settlement = self.create("Settlement", admin, self.vault, self.factory)
        self.commitment = self.create("OrderbookCommitment", admin)
        self.oracle = self.create("PriceOracle", admin)
        self.issuer = self.create("SynthIssuer", admin, self.vault, self.oracle)
        self.timelock = self.create("Timelock", UPGRADE_DELAY, [admin], [admin], "0x" + "00" * 20)

    def _wire(self) -> None:
        admin = self.people["admin"]
        for contract, role, holder in (
            (self.cxpt, "MINTER_ROLE", self.vault),
            (self.vault, "SETTLEMENT_ROLE", self.settlement),
            (self.vault, "CORE_ROLE", self.issuer),
            (self.vault, "CORE_ROLE", admin),
            (self.vault, "REGISTRAR_ROLE", admin),
            (self.vault, "UPGRADER_ROLE", self.timelock),
            (self.settlement, "SETTLER_ROLE", self.people["settler"]),
            (self.settlement, "LISTER_ROLE", admin),
            (self.settlement, "GUARDIAN_ROLE", admin),
            (self.vault, "GUARDIAN_ROLE", admin),
            (self.commitment, "COMMITTER_ROLE", self.people["committer"]),
            (self.synth_factory, "CREATOR_ROLE", admin),
            (self.oracle, "LISTER_ROLE", admin),
            (self.oracle, "POSTER_ROLE", self.people["poster"]),
            (self.issuer, "LISTER_ROLE", admin),
            (self.issuer, "GUARDIAN_ROLE", admin),
        ):
            contract.grantRole(keccak(role.encode()), holder, sender=admin)
        self.btc = self.create_synth("HOOATS Bitcoin", "hBTC")
        self.oracle.configure(self.btc, FEED, sender=admin)
        self.issuer.configure(self.btc, TERMS, sender=admin)
        self.vault.registerSynth(self.btc, sender=admin)
        self.settlement.listMarket(MARKET, self.btc, LOT, 1, "hBTC-USDC", sender=admin)

    # Time

    @property
    def now(self) -> int:
        """Time of the latest block."""
        return int(self.chain.blocks.head.timestamp)

    def mine_at(self, time: int) -> None:
        """An empty block at `time`: views answer as of then, and the next transaction is not before."""
        self.chain.mine(timestamp=time)

    def next_at(self, time: int) -> None:
        """The next transaction is in a block of exactly this time."""
        self.chain.pending_timestamp = time

    # Money

    def give_units(self, account: Any, amount: int) -> None:
        admin = self.people["admin"]
        self.usdc.mint(admin, amount, sender=admin)
        self.usdc.approve(self.vault, amount, sender=admin)
        self.vault.depositFor(account, amount, sender=admin)

    def give_lots(self, account: Any, lots: int) -> None:
        self.vault.mintSynth(self.btc, account, lots * LOT, sender=self.people["admin"])

    def post(self, price: int) -> Any:
        """A price of hBTC, in units for a whole one."""
        return self.oracle.post([self.btc], [price], sender=self.people["poster"])

    def units(self, account: Any) -> int:
        return self.vault.balanceOf(account, self.usdc)

    def lots(self, account: Any) -> int:
        atoms = self.vault.balanceOf(account, self.btc)
        assert atoms % LOT == 0
        return atoms // LOT

    def assert_conserved(self) -> None:
        """The law of `IVault.Totals`, and that the people here hold all of it."""
        for token in (self.usdc, self.btc):
            totals = self.vault.totalsOf(token)
            held = sum(self.vault.balanceOf(account, token) for account in self.people.values())
            assert held == totals.internalTotal
            custody = totals.internalTotal + totals.locked
            assert custody == totals.deposits - totals.withdrawals + totals.minted - totals.burned
            assert custody <= token.balanceOf(self.vault)

    def open_pool(self, lots: int, units: int) -> ContractInstance:
        """The AMM pair of hBTC, with this much of both; the shares are the admin's."""
        admin = self.people["admin"]
        self.factory.createPair(self.btc, sender=admin)
        pair = self.types["AmmPair"].at(self.factory.pairOf(self.btc), fetch_from_explorer=False, detect_proxy=False)
        withdrawal = self.withdrawal(admin, lots * LOT, token=self.btc.address, destination=pair.address)
        self.give_lots(admin, lots)
        consent, approval = self.sign_withdrawal(withdrawal, admin), self.approve_withdrawal(withdrawal)
        self.vault.withdrawApproved(tuple(withdrawal.values()), consent, approval, sender=admin)
        self.usdc.mint(pair, units, sender=admin)
        pair.mint(admin, sender=admin)
        return pair

    # Orders

    def order(self, account: Any, side: Side, price: int, size: int, nonce: int, **changes: Any) -> Order:
        """A resting order; `changes` are fields of Order."""
        fields: dict[str, Any] = {
            "account": Address(account.address.lower()),
            "subaccount": 0,
            "market": MARKET,
            "side": side,
            "kind": Kind.LIMIT,
            "time_in_force": TimeInForce.GTC,
            "flags": 0,
            "price_ticks": Ticks(price),
            "size_lots": Lots(size),
            "trigger_ticks": Ticks(0),
            "max_fee_ppm": CAP,
            "nonce": nonce,
            "expiry": 0,
        }
        return Order(**(fields | changes))

    def buy(self, account: Any, price: int, size: int, sequence: int = 1, **changes: Any) -> Order:
        return self.order(account, Side.BUY, price, size, make_nonce(1, sequence), **changes)

    def sell(self, account: Any, price: int, size: int, sequence: int = 1, **changes: Any) -> Order:
        return self.order(account, Side.SELL, price, size, make_nonce(1, sequence), **changes)

    def immediate(self, account: Any, side: Side, price: int, size: int, sequence: int = 1, **changes: Any) -> Order:
        fields = {"time_in_force": TimeInForce.IOC} | changes
        return self.order(account, side, price, size, make_nonce(0, sequence), **fields)

    def separator(self, contract: ContractInstance) -> bytes:
        return eip712.domain_separator(self.chain.chain_id, Address(contract.address.lower()))

    def batch(
        self, fills: Sequence[Fill | AmmFill], *, first: int | None = None, signer: Any = None
    ) -> SettlementBatch:
        """The batch of these fills, each order once. All are signed by `signer`, or by the account that each names."""
        orders = list(dict.fromkeys(order for fill in fills for order in orders_of(fill)))
        return SettlementBatch(
            0,
            self.settlement.lastFill() + 1 if first is None else first,
            tuple(SignedOrder(order, "0x" + self.sign_order(order, signer).hex()) for order in orders),
            tuple(
                BatchFill(AMM_MAKER, orders.index(fill.taker), fill.taker.size_lots, 0, fill.taker_ppm)
                if isinstance(fill, AmmFill)
                else BatchFill(
                    orders.index(fill.maker), orders.index(fill.taker), fill.lots, fill.maker_ppm, fill.taker_ppm
                )
                for fill in fills
            ),
            tuple(fill.quote for fill in fills if isinstance(fill, AmmFill)),
        )

    def packed(self, batch: SettlementBatch) -> bytes:
        """The argument of `settle`. Beware: its orders ascend by account, which is how errors number them."""
        return pack(batch, self.lower("fees"))

    def send(self, batch: SettlementBatch | bytes) -> Any:
        """Settled by the settler; the receipt."""
        argument = batch if isinstance(batch, bytes) else self.packed(batch)
        return self.settlement.settle(argument, sender=self.people["settler"])

    def settle(self, *fills: Fill | AmmFill) -> bytes:
        """Settles these fills as the next batch. Returns the refusals that it logged."""
        return bytes(only(self.send(self.batch(fills)), self.settlement.BatchSettled)["refusals"])

    def changes_of(self, receipt: Any) -> dict[tuple[str, str], int]:
        """What a batch says that it moved, by token and account, both in lower case."""
        rows = decode_changes(bytes(only(receipt, self.settlement.BatchSettled)["changes"]))
        changes = {(str(token), str(account)): delta for token, account, delta in rows}
        assert len(changes) == len(rows)
        return changes

    def lower(self, name: str) -> Address:
        return Address(self.people[name].address.lower())

    # Agents

    def terms(self, agent: Any, **changes: Any) -> eip712.AgentTerms:
        """Of an agent for a day, every market and more than anybody spends; `changes` are fields of AgentTerms."""
        fields = {"agent": agent.address, "expiry": self.now + 24 * HOUR, "notional": 10**12, "markets": ()}
        return eip712.AgentTerms(**(fields | changes))

    def sign_agent(self, account: Any, terms: eip712.AgentTerms, nonce: int, deadline: int) -> bytes:
        message = {
            "account": account.address,
            "agent": terms.agent,
            "expiry": terms.expiry,
            "notional": terms.notional,
            "markets": list(terms.markets),
            "nonce": nonce,
            "deadline": deadline,
        }
        return self.sign(account, self.settlement, eip712.AGENT_TYPE, message)

    def bulk_signed(self, orders: Sequence[Order], agent: Any) -> list[SignedOrder]:
        """All of them under one signature."""
        root = eip712.bulk_root(orders)
        signature = "0x" + self.sign(agent, self.settlement, eip712.BULK_ORDER_TYPE, {"root": root}).hex()
        return [SignedOrder(order, signature, eip712.bulk_proof(orders, i)) for i, order in enumerate(orders)]

    # Signatures

    def sign(
        self, signer: Any, contract: ContractInstance, type_string: str, message: dict[str, Any], name: str = "HOOATS"
    ) -> bytes:
        template = eip712.typed_data_template(type_string, self.chain.chain_id, Address(contract.address))
        template["domain"]["name"] = name
        signable = encode_typed_data(full_message={**template, "message": message})
        return bytes(Account.sign_message(signable, signer.private_key).signature)

    def signer_of(self, digest: bytes, signature: bytes) -> str:
        return str(Account._recover_hash(digest, signature=signature))

    def sign_order(self, order: Order, signer: Any = None) -> bytes:
        owner = next(account for account in self.people.values() if account.address.lower() == order.account)
        return self.sign(signer or owner, self.settlement, eip712.ORDER_TYPE, eip712.order_message(order))

    def withdrawal(self, account: Any, amount: int, **changes: Any) -> dict[str, Any]:
        """A `Withdrawal`, to the account itself unless `changes` says otherwise."""
        fields = {
            "account": account.address,
            "token": self.usdc.address,
            "amount": amount,
            "destination": account.address,
            "asCxpt": False,
            "nonce": 1,
            "deadline": self.now + HOUR,
        }
        return fields | changes

    def sign_withdrawal(self, withdrawal: dict[str, Any], signer: Any) -> bytes:
        return self.sign(signer, self.vault, eip712.WITHDRAW_TYPE, withdrawal)

    def approve(
        self, account: Any, token: ContractInstance | str, amount: int, purpose: bytes, **changes: Any
    ) -> tuple[int, int, bytes]:
        """A countersignature with a fresh nonce and an hour to live; `changes`: nonce, deadline, signer."""
        self._approvals += 1
        signer = changes.pop("signer", self.people["cosigner"])
        message = {
            "account": account.address,
            "token": getattr(token, "address", token),
            "amount": amount,
            "purpose": purpose,
            "nonce": self._approvals,
            "deadline": self.now + HOUR,
        } | changes
        cosignature = self.sign(signer, self.vault, eip712.APPROVAL_TYPE, message)
        return message["nonce"], message["deadline"], cosignature

    def approve_withdrawal(self, withdrawal: dict[str, Any], **changes: Any) -> tuple[int, int, bytes]:
        account = self.people[self._names[withdrawal["account"]]]
        purpose = eip712.withdraw_hash(eip712.Withdrawal(*withdrawal.values()))
        return self.approve(account, withdrawal["token"], withdrawal["amount"], purpose, **changes)

    def permit(self, owner: Any, amount: int, deadline: int) -> tuple[int, bytes, bytes]:
        """An ERC-2612 permit of the settlement token for the Vault: v, r, s."""
        message = {
            "owner": owner.address,
            "spender": self.vault.address,
            "value": amount,
            "nonce": self.usdc.nonces(owner),
            "deadline": deadline,
        }
        signature = self.sign(owner, self.usdc, PERMIT_TYPE, message, self.usdc.name())
        return signature[64], signature[:32], signature[32:64]


def only(receipt: Any, event: ContractEvent) -> dict[str, Any]:
    """The arguments of the one log of `event` in `receipt`."""
    logs = list(receipt.decode_logs(event.abi))
    assert len(logs) == 1, f"{len(logs)} logs of {event.abi.name}"
    return dict(logs[0].event_arguments)


@contextmanager
def reverts(error: str, **inputs: Any) -> Iterator[None]:
    """The block reverts with this custom error, and these of its inputs."""
    with ape.reverts() as caught:
        yield
    name, found = decoded(caught.value)
    seen = {key: found.get(key) for key in inputs}
    assert (name, seen) == (error, inputs), f"reverted with {name} {found}"


def decoded(failure: ContractLogicError) -> tuple[str, dict[str, Any]]:
    """Name and inputs of a custom error. ape overlooks one from the embedded EVM whose bytes hold a quotation mark, and
    one of a view on Foundry that an inner contract raised."""
    if isinstance(failure, CustomError):
        return failure.name, failure.inputs
    message = str(failure.revert_message)
    unnamed = re.fullmatch(r"custom error 0x([0-9a-f]{8}): ?([0-9a-f]*)", message)
    if unnamed is not None:
        reverted = bytes.fromhex(unnamed.group(1) + unnamed.group(2))
    elif message.startswith("b"):
        reverted = literal_eval(message)
    else:
        return message, {}
    entry = error_entries().get(reverted[:4])
    if entry is None:
        return message, {}
    kinds = [item["type"] for item in entry["inputs"]]
    values = [
        to_checksum_address(value) if kind == "address" else value
        for kind, value in zip(kinds, decode(kinds, reverted[4:]), strict=True)
    ]
    return entry["name"], {item["name"]: value for item, value in zip(entry["inputs"], values, strict=True)}
