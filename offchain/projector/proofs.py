"""Proof files: that an order was received, at which position, in which epoch; and the check of one, without a chain.

A proof file is JSON (camelCase, hashes and addresses as 0x-hex): chainId, contract (OrderbookCommitment), settlement,
header, leaf [sequence, orderHash], proof, order (the EIP-712 message), signature, signer if it is an agent, receipt
{sequence, at, orderHash, signature}, groupReceipt {sequence, at, orderHash, first, last, orders, position, root, proof,
signature} or null. Invariant: `verify_proof` trusts nothing in the file but what it names: chain id and contracts;
whether the contract committed to the header is for the chain to say (`OrderbookCommitment.verifyOrder`).
"""

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from offchain.domain.batch import EpochHeader
from offchain.domain.command import OpenVenue, PlaceOrder, decode
from offchain.domain.eip712 import (
    bulk_digest,
    bulk_root_of,
    domain_separator,
    order_digest,
    order_message,
    receipt_digest,
    receipt_leaf,
    receipts_digest,
    split_signature,
)
from offchain.domain.errors import InvalidInput
from offchain.domain.order import Kind, Order, Side, TimeInForce
from offchain.domain.units import Address, Lots, Ticks, from_hex
from offchain.engine.merkle import standard_leaf, standard_proof, verify_indexed, verify_standard
from offchain.security.signatures import recover
from offchain.storage.history import History
from offchain.storage.reader import JournalReader

HEADER_FIELDS = {
    "epoch": "epoch",
    "parent": "parent",
    "first": "first",
    "last": "last",
    "orders_root": "ordersRoot",
    "commands_root": "commandsRoot",
    "state_root": "stateRoot",
    "volume": "volume",
    "count": "count",
    "data_hash": "dataHash",
}
"""EpochHeader's fields and their names in the file, which are those of the contract's struct."""
MALFORMED = (LookupError, TypeError, ValueError, OverflowError)
"""What reading a field of a file raises that somebody else made."""


class Finding(NamedTuple):
    """One thing that was checked."""

    what: str
    ok: bool


def build_proof(
    history: History, reader: JournalReader, digest: str, receipt: str = "", group: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The proof file of an order. `receipt`: the attestation key's signature, if at hand (`SequencerLink.receipt`);
    `group`: its receipt for all orders of the journal's group (`SequencerLink.group_receipt`).

    InvalidInput if the order was never sequenced, or its epoch is still open.
    """
    row = history.order(digest)
    if row is None:
        raise InvalidInput(f"no order {digest} was sequenced", field="orderId", remedy="Check the order's id")
    epoch = history.epoch_of(row.sequence)
    if epoch is None:
        raise InvalidInput(
            "the order's epoch is still open",
            field="orderId",
            remedy="Ask again when it is closed: at most one epoch from now (node --epoch-millis)",
        )
    opened, record = reader.record(1), reader.record(row.sequence)
    assert opened is not None, "the history knows more than the journal"
    assert record is not None, "the history knows more than the journal"
    venue = decode(opened.kind, opened.version, opened.payload)
    command = decode(record.kind, record.version, record.payload)
    assert isinstance(venue, OpenVenue)
    assert isinstance(command, PlaceOrder)
    leaves = history.order_leaves(epoch.first, epoch.last)
    position = next(index for index, (sequence, _) in enumerate(leaves) if sequence == row.sequence)
    return {
        "chainId": venue.chain_id,
        "contract": venue.commitment,
        "settlement": venue.settlement,
        "header": header_json(epoch.header),
        "leaf": [row.sequence, row.digest],
        "proof": ["0x" + node.hex() for node in standard_proof(leaves, position)],
        "order": {**order_message(command.order), "nonce": str(command.order.nonce)},
        "signature": "0x" + command.signature.hex(),
        **({"signer": command.signer} if command.signer != command.order.account else {}),
        "receipt": {"sequence": row.sequence, "at": row.at, "orderHash": row.digest, "signature": receipt},
        "groupReceipt": group,
    }


def header_json(header: EpochHeader) -> dict[str, Any]:
    return {name: getattr(header, field) for field, name in HEADER_FIELDS.items()}


def read_header(body: dict[str, Any]) -> EpochHeader:
    """KeyError, TypeError or ValueError for anything else than `header_json` gives."""
    return EpochHeader(**{field: _like(field, body[name]) for field, name in HEADER_FIELDS.items()})


def read_order(body: dict[str, Any]) -> Order:
    """The order of an EIP-712 message; numbers as integers or decimal strings."""
    return Order(
        Address(str(body["account"]).lower()),
        int(body["subaccount"]),
        int(body["market"]),
        Side(int(body["side"])),
        Kind(int(body["kind"])),
        TimeInForce(int(body["timeInForce"])),
        int(body["flags"]),
        Ticks(int(body["priceTicks"])),
        Lots(int(body["sizeLots"])),
        Ticks(int(body["triggerTicks"])),
        int(body["maxFeePpm"]),
        int(body["nonce"]),
        int(body["expiry"]),
    )


def verify_proof(body: dict[str, Any]) -> list[Finding]:
    """Everything that the file alone can show. It holds if every finding is ok; it is complete or says what is not."""
    if not isinstance(body, dict):
        return [Finding("the file is a proof", False)]
    findings: list[Finding] = []
    checks: tuple[tuple[str, Callable[[dict[str, Any]], bool]], ...] = (
        ("the order hashes to the leaf's order hash", _order_matches),
        (f"the order was signed by {_claimed_signer(body)}", _signature_matches),
        ("the leaf is under the header's orders root", _path_matches),
        ("the leaf's sequence is in the header's range", _range_matches),
    )
    for what, check in checks:
        findings.append(Finding(what, _holds(check, body)))
    receipt = body.get("receipt")
    if isinstance(receipt, dict) and receipt.get("signature"):
        signer = receipt_signer(body)
        findings.append(Finding(f"the receipt is for this leaf, signed by {signer or 'nobody'}", signer is not None))
    if isinstance(body.get("groupReceipt"), dict):
        signer = group_receipt_signer(body)
        findings.append(
            Finding(f"the group's receipt holds this leaf, signed by {signer or 'nobody'}", signer is not None)
        )
    findings.append(Finding(f"the header hashes to {_header_hash(body)}", _header_hash(body) != "nothing"))
    return findings


def receipt_signer(body: dict[str, Any]) -> Address | None:
    """Who signed the receipt; None if nobody did, or it is for another leaf."""
    try:
        receipt, (sequence, order_hash) = body["receipt"], body["leaf"]
        if int(receipt["sequence"]) != int(sequence) or receipt["orderHash"] != order_hash:
            return None
        separator = domain_separator(int(body["chainId"]), Address(str(body["contract"]).lower()))
        signed = receipt_digest(separator, int(sequence), int(receipt["at"]), from_hex(order_hash))
        return recover(signed, from_hex(receipt["signature"]))
    except MALFORMED:
        return None


def group_receipt_signer(body: dict[str, Any]) -> Address | None:
    """Who signed the root that the leaf is under; None if nobody did, or it is for another leaf."""
    try:
        receipt, (sequence, order_hash) = body["groupReceipt"], body["leaf"]
        first, last, orders, position = (int(receipt[name]) for name in ("first", "last", "orders", "position"))
        if not first <= int(sequence) <= last or (int(receipt["sequence"]), receipt["orderHash"]) != (
            int(sequence),
            order_hash,
        ):
            return None
        leaf = receipt_leaf(int(sequence), int(receipt["at"]), from_hex(order_hash))
        root, path = from_hex(receipt["root"]), [from_hex(node) for node in receipt["proof"]]
        if not verify_indexed(root, leaf, position, orders, path):
            return None
        separator = domain_separator(int(body["chainId"]), Address(str(body["contract"]).lower()))
        return recover(receipts_digest(separator, first, last, orders, root), from_hex(receipt["signature"]))
    except (*MALFORMED, struct.error):
        return None


def _claimed_signer(body: dict[str, Any]) -> str:
    """Whether an agent was one is for the chain to say (`Settlement.agentOf`)."""
    return f"the agent {body['signer']}" if body.get("signer") else "its account"


def _order_matches(body: dict[str, Any]) -> bool:
    return _order_hash(body) == from_hex(body["leaf"][1])


def _signature_matches(body: dict[str, Any]) -> bool:
    account = str(body["order"]["account"]).lower()
    signer = str(body.get("signer") or account).lower()
    signature, proof = split_signature(from_hex(body["signature"]))
    if proof is None:
        return recover(_order_hash(body), signature) == signer
    separator = domain_separator(int(body["chainId"]), Address(str(body["settlement"]).lower()))
    root = bulk_root_of(read_order(body["order"]), proof)
    return signer != account and recover(bulk_digest(separator, root), signature) == signer


def _path_matches(body: dict[str, Any]) -> bool:
    sequence, order_hash = body["leaf"]
    leaf = standard_leaf(int(sequence), from_hex(order_hash))
    return verify_standard(from_hex(body["header"]["ordersRoot"]), leaf, [from_hex(node) for node in body["proof"]])


def _range_matches(body: dict[str, Any]) -> bool:
    header = read_header(body["header"])
    return header.first <= int(body["leaf"][0]) <= header.last


def _order_hash(body: dict[str, Any]) -> bytes:
    separator = domain_separator(int(body["chainId"]), Address(str(body["settlement"]).lower()))
    return order_digest(separator, read_order(body["order"]))


def _header_hash(body: dict[str, Any]) -> str:
    try:
        return "0x" + read_header(body["header"]).hash().hex()
    except MALFORMED:
        return "nothing"


def _holds(check: Callable[[dict[str, Any]], bool], body: dict[str, Any]) -> bool:
    """What is missing or malformed does not hold."""
    try:
        return check(body)
    except (*MALFORMED, AssertionError):
        return False


def _like(field: str, value: Any) -> Any:
    """Hashes as strings, numbers as integers."""
    return str(value) if field == "parent" or field.endswith(("root", "hash")) else int(value)
