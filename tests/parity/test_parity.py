"""Python and Solidity agree on every hash, leaf, root and fee: 10,000 random cases each, the same seed every time."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from offchain.chain.abi import Function
from offchain.chain.contracts import AGENT_TERMS, AUTHORIZATION, HEADER, ORDER, WITHDRAWAL
from offchain.domain import eip712
from offchain.domain.batch import EpochHeader
from offchain.domain.keccak import keccak
from offchain.domain.order import Kind, Order, Side, TimeInForce
from offchain.domain.units import Address, Lots, Ticks, fee_up, from_hex
from offchain.engine import merkle
from offchain.security.signatures import address_of, sign

CASES = 10_000
CHUNK = 2_500
SEED = 20_261_121

Ask = Callable[..., Any]

INCLUSION = "(bytes32,bytes32,uint256,uint256,bytes32[])"
APPROVAL = "(address,address,uint256,bytes32,uint256,uint256)"


def chunks(cases: Sequence[Any]) -> list[Sequence[Any]]:
    return [cases[at : at + CHUNK] for at in range(0, len(cases), CHUNK)]


def bits(chance: random.Random, most: int) -> int:
    """Uniform in magnitude, so that small and huge values both come."""
    return chance.getrandbits(chance.randint(0, most))


def address(chance: random.Random) -> Address:
    return Address("0x" + chance.randbytes(20).hex())


def random_order(chance: random.Random) -> Order:
    return Order(
        address(chance),
        bits(chance, 8),
        bits(chance, 32),
        chance.choice(list(Side)),
        chance.choice(list(Kind)),
        chance.choice(list(TimeInForce)),
        bits(chance, 16),
        Ticks(bits(chance, 64)),
        Lots(bits(chance, 64)),
        Ticks(bits(chance, 64)),
        bits(chance, 31) * chance.choice((1, -1)),
        bits(chance, 64),
        bits(chance, 40),
    )


def test_order_digests(ask: Ask) -> None:
    chance = random.Random(SEED)
    separator = eip712.domain_separator(998, address(chance))
    orders = [random_order(chance) for _ in range(CASES)]
    function = Function(f"orderDigests(bytes32,{ORDER}[])", "bytes32[]")
    found: list[bytes] = []
    for part in chunks(orders):
        rows = [tuple(eip712.order_message(order).values()) for order in part]
        found.extend(ask(function, separator, rows))
    assert found == [eip712.order_digest(separator, order) for order in orders]
    assert [Order.from_frame(order.to_frame()) for order in orders] == orders


def test_signers_of_withdrawals(ask: Ask) -> None:
    """Both signatures of a withdrawal, made in Python, in the long or in the short form."""
    chance = random.Random(SEED + 1)
    separator = ask(Function("vaultDomain()", "bytes32"))
    keys = [chance.randbytes(32) for _ in range(2)]
    cases = []
    for _ in range(CASES):
        withdrawal = eip712.Withdrawal(
            address(chance),
            address(chance),
            bits(chance, 256),
            address(chance),
            chance.random() < 0.5,
            bits(chance, 256),
            bits(chance, 256),
        )
        account, token, amount, *_ = withdrawal
        nonce, deadline = bits(chance, 256), bits(chance, 256)
        purpose = eip712.withdraw_hash(withdrawal)
        digests = (
            eip712.withdraw_digest(separator, withdrawal),
            eip712.approval_digest(separator, account, token, amount, purpose, nonce, deadline),
        )
        made = [sign(digest, key) for digest, key in zip(digests, keys, strict=True)]
        owners, cosigners = [eip712.compact(one) if chance.random() < 0.5 else one for one in made]
        cases.append((tuple(withdrawal), owners, (nonce, deadline, cosigners)))
    function = Function(f"withdrawalSigners({WITHDRAWAL}[],bytes[],{AUTHORIZATION}[])", "address[]")
    expected = [address_of(key) for key in keys]
    for part in chunks(cases):
        found = ask(function, *(list(column) for column in zip(*part, strict=True)))
        assert list(found) == expected * len(part)


def test_approval_hashes(ask: Ask) -> None:
    chance = random.Random(SEED + 1)
    separator = bytes(32)
    approvals = [
        (
            address(chance),
            address(chance),
            bits(chance, 256),
            chance.randbytes(32),
            bits(chance, 256),
            bits(chance, 256),
        )
        for _ in range(CASES)
    ]
    function = Function(f"approvalHashes({APPROVAL}[])", "bytes32[]")
    hashes = [found for part in chunks(approvals) for found in ask(function, part)]
    expected = [eip712.approval_digest(separator, *row) for row in approvals]
    assert [eip712.digest(separator, found) for found in hashes] == expected


def test_agent_hashes(ask: Ask) -> None:
    chance = random.Random(SEED + 7)
    cases = []
    for _ in range(CASES):
        markets = tuple(bits(chance, 32) for _ in range(chance.randint(0, 4)))
        terms = eip712.AgentTerms(address(chance), bits(chance, 40), bits(chance, 128), markets)
        cases.append((address(chance), terms, bits(chance, 256), bits(chance, 256)))
    function = Function(f"agentHashes((address,{AGENT_TERMS},uint256,uint256)[])", "bytes32[]")
    separator = bytes(32)
    hashes = [one for part in chunks(cases) for one in ask(function, [(a, tuple(t), n, d) for a, t, n, d in part])]
    assert [eip712.digest(separator, found) for found in hashes] == [
        eip712.agent_digest(separator, *case) for case in cases
    ]


def test_bulk_hashes(ask: Ask) -> None:
    """Trees of 1 to 32 orders: every leaf leads to the root that was signed, by Python's proof and Solidity's climb."""
    chance = random.Random(SEED + 8)
    cases: list[tuple[Order, eip712.BulkProof, bytes]] = []
    while len(cases) < CASES:
        orders = [random_order(chance) for _ in range(chance.randint(1, 32))]
        root = eip712.bulk_root(orders)
        cases += [(order, eip712.bulk_proof(orders, place), root) for place, order in enumerate(orders)]
    function = Function(f"bulkHashes({ORDER}[],uint256[],bytes)", "bytes32[]")
    separator = bytes(32)
    for part in chunks(cases):
        rows = [tuple(eip712.order_message(order).values()) for order, _, _ in part]
        siblings = b"".join(from_hex(sibling) for _, proof, _ in part for sibling in proof.siblings)
        found = ask(function, rows, [proof.position for _, proof, _ in part], siblings)
        expected = [eip712.bulk_digest(separator, root) for _, _, root in part]
        assert [eip712.digest(separator, one) for one in found] == expected
        assert [eip712.bulk_root_of(order, proof) for order, proof, _ in part] == [root for _, _, root in part]


def test_header_hashes(ask: Ask) -> None:
    chance = random.Random(SEED + 2)

    def word() -> str:
        return "0x" + chance.randbytes(32).hex()

    headers = [
        EpochHeader(
            bits(chance, 64), word(), bits(chance, 64), bits(chance, 64), word(), word(), word(), bits(chance, 128),
            bits(chance, 32), word(),
        )
        for _ in range(CASES)
    ]  # fmt: skip
    function = Function(f"headerHashes({HEADER}[])", "bytes32[]")
    found = [one for part in chunks(headers) for one in ask(function, [_header_row(header) for header in part])]
    assert found == [header.hash() for header in headers]


def _header_row(header: EpochHeader) -> tuple[Any, ...]:
    values = [getattr(header, name) for name in EpochHeader.__struct_fields__]
    return tuple(bytes.fromhex(value[2:]) if isinstance(value, str) else value for value in values)


def test_fees(ask: Ask) -> None:
    chance = random.Random(SEED + 3)
    notionals = [bits(chance, 112) for _ in range(CASES)]
    ppms = [chance.randint(-10_000, 10_000) for _ in range(CASES)]
    function = Function("fees(uint256[],int32[])", "int256[]")
    found = ask(function, notionals, ppms)
    assert list(found) == [fee_up(notional, ppm) for notional, ppm in zip(notionals, ppms, strict=True)]


def test_leaves(ask: Ask) -> None:
    chance = random.Random(SEED + 4)
    pairs = [(bits(chance, 64), chance.randbytes(32)) for _ in range(CASES)]
    function = Function("orderLeaves(uint64[],bytes32[])", "bytes32[]")
    found = ask(function, [sequence for sequence, _ in pairs], [hash_ for _, hash_ in pairs])
    assert list(found) == [merkle.standard_leaf(*pair) for pair in pairs]
    records = [chance.randbytes(chance.randint(0, 300)) for _ in range(CASES)]
    function = Function("commandLeaves(bytes[])", "bytes32[]")
    hashes = [one for part in chunks(records) for one in ask(function, part)]
    assert hashes == [merkle.indexed_leaf(record) for record in records]


def test_roots(ask: Ask) -> None:
    """Trees of every size up to 64 and of a few larger ones: together more than 10,000 leaves."""
    chance = random.Random(SEED + 5)
    standard, indexed = Function("standardRoot(bytes32[])", "bytes32"), Function("indexedRoot(bytes32[])", "bytes32")
    total = 0
    for size in [*range(1, 65), 100, 777, 1_000, 1_024, 1_025, 4_097]:
        pairs = [(bits(chance, 64), chance.randbytes(32)) for _ in range(size)]
        leaves = sorted(merkle.standard_leaf(*pair) for pair in pairs)
        assert ask(standard, leaves) == merkle.standard_root(pairs), size
        assert ask(indexed, leaves) == merkle.indexed_root(leaves), size
        total += size
    assert total >= CASES


def test_proofs(ask: Ask) -> None:
    """The contract accepts every proof that Python makes, and refuses it for another leaf, position or count."""
    chance = random.Random(SEED + 6)
    standard: list[tuple[Any, ...]] = []
    indexed: list[tuple[Any, ...]] = []
    while len(standard) < CASES // 2:
        size = chance.randint(1, 60)
        pairs = [(bits(chance, 64), chance.randbytes(32)) for _ in range(size)]
        leaves = [merkle.standard_leaf(*pair) for pair in pairs]
        root, tree = merkle.standard_root(pairs), merkle.indexed_root(leaves)
        for position in chance.sample(range(size), min(size, 10)):
            standard.append((root, leaves[position], 0, 0, merkle.standard_proof(pairs, position)))
            indexed.append((tree, leaves[position], position, size, merkle.indexed_proof(leaves, position)))
    for name, cases in (("areStandard", standard), ("areIndexed", indexed)):
        function = Function(f"{name}({INCLUSION}[])", "bool[]")
        for part in chunks(cases):
            assert all(ask(function, part)), name
            assert not any(ask(function, [(case[0], keccak(case[1]), *case[2:]) for case in part])), name
    function = Function(f"areIndexed({INCLUSION}[])", "bool[]")
    for part in chunks(indexed):
        moved = [(root, leaf, position + 1, count, proof) for root, leaf, position, count, proof in part]
        assert list(ask(function, moved)) == [
            merkle.verify_indexed(root, leaf, position, count, proof) for root, leaf, position, count, proof in moved
        ]
        assert not any(ask(function, moved))
