"""Proof files: every order of a closed epoch has one that verifies, and none survives a change."""

import copy
import json
from pathlib import Path

import msgspec
import pytest
from day_samples import write_day
from test_projector import configure, project
from venue_samples import KEY, TRADERS, VENUE

from offchain.domain.command import PlaceOrder, decode
from offchain.domain.eip712 import bulk_digest, bulk_proof, bulk_root, domain_separator, join_signature, order_digest
from offchain.domain.errors import InvalidInput
from offchain.domain.units import Address, Digest, from_hex
from offchain.projector.proofs import (
    build_proof,
    group_receipt_signer,
    read_header,
    read_order,
    receipt_signer,
    verify_proof,
)
from offchain.security.signatures import address_of, sign
from offchain.sequencer.attestation import Attestor
from offchain.sequencer.receipts import GroupReceipt, group_receipt
from offchain.storage.history import History
from offchain.storage.reader import JournalReader


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proofs")
    write_day(folder, orders=60)
    project(configure(folder))
    return folder


@pytest.fixture
def history(folder: Path) -> History:
    return History(f"sqlite:///{folder}/history.sqlite")


def signed_order(history: History) -> str:
    return history.orders_of(address_of(KEY), limit=1000)[-1].digest


def test_every_order_of_a_closed_epoch_is_proved(folder: Path, history: History) -> None:
    reader, attestor, proved = JournalReader(folder / "journal"), Attestor(KEY, VENUE), 0
    for record in reader.read():
        command = decode(record.kind, record.version, record.payload)
        epoch = history.epoch_of(record.sequence)
        if not isinstance(command, PlaceOrder) or epoch is None:
            continue
        ((_, order_hash),) = history.order_leaves(record.sequence, record.sequence)
        receipt = attestor.receipt(record.sequence, record.at, Digest("0x" + order_hash.hex()))
        body = json.loads(json.dumps(build_proof(history, reader, "0x" + order_hash.hex(), receipt)))
        findings = {finding.what: finding.ok for finding in verify_proof(body)}
        unsigned = command.order.account in TRADERS  # whose orders carry no signature in these tests
        assert [ok for what, ok in findings.items() if "signed by its account" not in what] == [True] * 5, findings
        assert findings["the order was signed by its account"] is not unsigned
        assert receipt_signer(body) == address_of(KEY)
        assert read_header(body["header"]) == epoch.header
        proved += 1
    assert proved > 50


def receipt_of(reader: JournalReader, attestor: Attestor, sequence: int) -> GroupReceipt:
    separator = domain_separator(VENUE.chain_id, VENUE.settlement)
    group = next(reader.groups(sequence))
    found = group_receipt(
        attestor, group, sequence, lambda command: Digest("0x" + order_digest(separator, command.order).hex())
    )
    assert found is not None
    return found


def test_an_order_that_an_agent_signed_in_bulk_is_proved_by_its_own_proof(folder: Path, history: History) -> None:
    """And by nobody else's signature, nor by the account's own over a tree."""
    whole = build_proof(history, JournalReader(folder / "journal"), signed_order(history))
    order, agent = read_order(whole["order"]), b"\x77" * 32
    separator = domain_separator(whole["chainId"], Address(whole["settlement"]))
    digest = bulk_digest(separator, bulk_root([order]))
    what = f"the order was signed by the agent {address_of(agent)}"

    def findings(signature: bytes, signer: str) -> dict[str, bool]:
        kept = "0x" + join_signature(signature, bulk_proof([order], 0)).hex()
        return {found.what: found.ok for found in verify_proof(whole | {"signature": kept, "signer": signer})}

    assert findings(sign(digest, agent), address_of(agent))[what]
    assert not findings(sign(digest, KEY), address_of(agent))[what]
    assert not findings(sign(digest, KEY), order.account)[f"the order was signed by the agent {order.account}"]
    single = whole | {"signature": "0x" + sign(from_hex(whole["leaf"][1]), agent).hex(), "signer": address_of(agent)}
    assert {found.what: found.ok for found in verify_proof(single)}[what]


def test_no_change_survives(folder: Path, history: History) -> None:
    reader, attestor = JournalReader(folder / "journal"), Attestor(KEY, VENUE)
    digest = signed_order(history)
    row = history.order(digest)
    assert row is not None
    group = msgspec.to_builtins(receipt_of(reader, attestor, row.sequence))
    whole = build_proof(history, reader, digest, attestor.receipt(row.sequence, row.at, row.digest), group)
    whole = json.loads(json.dumps(whole))
    assert all(finding.ok for finding in verify_proof(whole))
    assert receipt_signer(whole) == group_receipt_signer(whole) == address_of(KEY)
    paths = [[key] for key in ("chainId", "settlement", "contract", "signature")]
    paths += [["order", key] for key in whole["order"]] + [["leaf", 0], ["leaf", 1], ["proof", 0]]
    paths += [["header", key] for key in ("ordersRoot",)] + [["receipt", key] for key in whole["receipt"]]
    paths += [["groupReceipt", key] for key in whole["groupReceipt"] if key != "proof"]
    paths += [["groupReceipt", "proof", at] for at in range(len(whole["groupReceipt"]["proof"]))]
    for path in paths:
        body = copy.deepcopy(whole)
        place = body
        for key in path[:-1]:
            place = place[key]
        value = place[path[-1]]
        place[path[-1]] = changed(value)
        held = all(finding.ok for finding in verify_proof(body))
        by_venue = receipt_signer(body) == group_receipt_signer(body) == address_of(KEY)
        assert not (held and by_venue), path
        del place[path[-1]]
        if path != ["receipt", "signature"]:
            assert not all(finding.ok for finding in verify_proof(body)), path
    assert not any(finding.ok for finding in verify_proof({}))


def changed(value: object) -> object:
    if isinstance(value, int):
        return 0 if value > 10**6 else value + 1 if value else 1
    assert isinstance(value, str)
    if not value.startswith("0x"):
        return str(int(value) + 1)
    return value[:10] + ("1" if value[10] != "1" else "2") + value[11:]


def test_a_proof_without_receipt_holds_for_what_it_says(folder: Path, history: History) -> None:
    body = build_proof(history, JournalReader(folder / "journal"), signed_order(history))
    findings = verify_proof(body)
    assert all(finding.ok for finding in findings) and not any("receipt" in finding.what for finding in findings)


def test_what_cannot_be_proved(folder: Path, history: History, tmp_path: Path) -> None:
    reader = JournalReader(folder / "journal")
    with pytest.raises(InvalidInput, match="no order"):
        build_proof(history, reader, "0x" + "00" * 32)
    last = history.epochs(limit=1)[0].last
    open_orders = [row for row in history.orders_of(TRADERS[0], limit=1000) if row.sequence > last]
    for row in open_orders:
        with pytest.raises(InvalidInput, match="still open"):
            build_proof(history, reader, row.digest)


def test_a_changed_header_is_another_header(folder: Path, history: History) -> None:
    """Only the chain can say which one it committed to; the file says which one it is about."""
    whole = build_proof(history, JournalReader(folder / "journal"), signed_order(history))
    said = verify_proof(whole)[-1].what
    for field in whole["header"]:
        body = copy.deepcopy(whole)
        body["header"][field] = changed(body["header"][field])
        assert verify_proof(body)[-1].what != said, field
        del body["header"][field]
        assert not verify_proof(body)[-1].ok
