"""Python and Solidity accept the same signatures, and no malformed one: 10,000 of them, each judged by both.

What is accepted are two forms of the same three numbers: r || s || v (65 bytes, v 27 or 28) and r || vs (64 bytes,
EIP-2098: the parity in the top bit of s), both with 0 < r < n and 0 < s <= n / 2. The expected answers come from how a
case was made, or from the curve's equation written out below, never from either of the two.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from offchain.chain.abi import Function
from offchain.domain.keccak import keccak
from offchain.security import signatures

MALFORMED = 10_000
CONTROLS = 400
SEED = 20_261_123
CHUNK = 2_000

FIELD = 2**256 - 2**32 - 977
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HALF = ORDER // 2
TOP = 1 << 255

Ask = Callable[..., Any]


class Case(NamedTuple):
    """`signer` is whose key signed at first. `recovers`: whether anybody may be found by it, if not the signer."""

    kind: str
    digest: bytes
    signature: bytes
    signer: str
    recovers: bool


class Signed(NamedTuple):
    digest: bytes
    r: int
    s: int
    parity: int
    signer: str

    def long(self) -> bytes:
        return long_form(self.r, self.s, 27 + self.parity)

    def short(self) -> bytes:
        return short_form(self.r, self.s, self.parity)


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def long_form(r: int, s: int, v: int) -> bytes:
    return word(r) + word(s) + bytes((v,))


def short_form(r: int, s: int, parity: int) -> bytes:
    return word(r) + word(s | parity << 255)


def signed(chance: random.Random) -> Signed:
    digest, key = chance.randbytes(32), word(chance.randrange(1, ORDER))
    raw = signatures.sign(digest, key)
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big")
    return Signed(digest, r, s, raw[64] - 27, signatures.address_of(key))


def is_abscissa(x: int) -> bool:
    """Whether y^2 = x^3 + 7 has a solution (Euler's criterion)."""
    square = (pow(x, 3, FIELD) + 7) % FIELD
    return pow(square, (FIELD - 1) // 2, FIELD) == 1


def no_abscissa(chance: random.Random) -> int:
    while True:
        x = chance.randrange(1, ORDER)
        if not is_abscissa(x):
            return x


def flipped(chance: random.Random, raw: bytes) -> bytes:
    at = chance.randrange(len(raw) * 8)
    return bytes(byte ^ (1 << at % 8 if index == at // 8 else 0) for index, byte in enumerate(raw))


def is_well_formed(raw: bytes) -> bool:
    """The definition above, apart from whether r is an abscissa."""
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big")
    if len(raw) == 64:
        s &= TOP - 1
    elif len(raw) != 65 or raw[64] not in (27, 28):
        return False
    return 0 < r < ORDER and 0 < s <= HALF and is_abscissa(r)


def wrong_length(chance: random.Random, one: Signed) -> bytes:
    length = chance.choice([n for n in range(131) if n not in (64, 65)])
    source = chance.choice((one.long(), one.short(), one.long() + one.long(), chance.randbytes(130)))
    return (source + bytes(130))[:length]


def high_s(chance: random.Random, one: Signed) -> bytes:
    """The twin that is a valid signature for mathematics, and numbers between n / 2 and n for anybody."""
    if chance.random() < 0.7:
        return long_form(one.r, ORDER - one.s, 28 - one.parity)
    return long_form(one.r, chance.choice((HALF + 1, ORDER - 1, chance.randrange(HALF + 1, ORDER))), 27 + one.parity)


def high_s_short(chance: random.Random, one: Signed) -> bytes:
    """Between n / 2 and 2^255 there is room for a high s in 64 bytes, too."""
    return short_form(one.r, chance.choice((HALF + 1, TOP - 1, chance.randrange(HALF + 1, TOP))), one.parity)


def other_v(chance: random.Random, one: Signed) -> bytes:
    common = (0, 1, 2, 26, 29, 30, 35, 36, 37, 38, 255, one.parity)
    return long_form(
        one.r, one.s, chance.choice((*common, chance.choice([v for v in range(256) if v not in (27, 28)])))
    )


def bad_r(chance: random.Random, one: Signed) -> bytes:
    r = chance.choice((0, ORDER, ORDER + 1, 2**256 - 1, FIELD, chance.randrange(ORDER, 2**256)))
    return long_form(r, one.s, 27 + one.parity) if chance.random() < 0.5 else short_form(r, one.s, one.parity)


def bad_s(chance: random.Random, one: Signed) -> bytes:
    if chance.random() < 0.3:
        return short_form(one.r, 0, chance.randrange(2))
    s = chance.choice((0, ORDER, ORDER + 1, 2**256 - 1, ORDER + HALF % 2**100, chance.randrange(ORDER, 2**256)))
    return long_form(one.r, s, 27 + one.parity)


def off_curve(chance: random.Random, one: Signed) -> bytes:
    r = no_abscissa(chance)
    return long_form(r, one.s, 27 + one.parity) if chance.random() < 0.5 else short_form(r, one.s, one.parity)


def rearranged(chance: random.Random, one: Signed) -> bytes:
    """The right numbers in a form that others use: v first, abi-encoded words, DER, a compact form with a v."""
    v = 27 + one.parity
    der = b"\x30\x44\x02\x20" + word(one.r) + b"\x02\x20" + word(one.s)
    with_v = (one.short() + bytes((v,))) if one.parity else one.short() + b"\x00"
    return chance.choice((bytes((v,)) + one.long()[:64], word(v) + word(one.r) + word(one.s), der, with_v))


def constant(chance: random.Random, one: Signed) -> bytes:
    return bytes((chance.choice((0, 255, 27, chance.randrange(256))),)) * chance.choice((64, 65))


def bit_flipped(chance: random.Random, one: Signed) -> bytes:
    return flipped(chance, chance.choice((one.long(), one.short())))


def other_parity(chance: random.Random, one: Signed) -> bytes:
    other = one._replace(parity=1 - one.parity)
    return chance.choice((other.long(), other.short()))


def exchanged(chance: random.Random, one: Signed) -> bytes:
    """r and s in each other's place."""
    return long_form(one.s, one.r, 27 + one.parity)


def kept(chance: random.Random, one: Signed) -> bytes:
    return chance.choice((one.long(), one.short()))


# Form alone condemns these: nobody is recovered.
FORMS = (wrong_length, high_s, high_s_short, other_v, bad_r, bad_s, off_curve, rearranged)
# Well formed perhaps, and then somebody else's.
OTHERS = (bit_flipped, other_parity, exchanged, constant)


def other_digest(chance: random.Random, one: Signed) -> bytes:
    prefixed = keccak(b"\x19Ethereum Signed Message:\n32" + one.digest)
    return chance.choice((prefixed, keccak(one.digest), flipped(chance, one.digest), bytes(32), one.digest[::-1]))


def malformed(chance: random.Random) -> Iterator[Case]:
    for index in range(MALFORMED):
        one = signed(chance)
        which = index % (len(FORMS) + len(OTHERS) + 1)
        if which < len(FORMS):
            make = FORMS[which]
            yield Case(make.__name__, one.digest, make(chance, one), one.signer, False)
        elif which < len(FORMS) + len(OTHERS):
            make = OTHERS[which - len(FORMS)]
            raw = make(chance, one)
            yield Case(make.__name__, one.digest, raw, one.signer, is_well_formed(raw))
        else:
            yield Case("other digest", other_digest(chance, one), kept(chance, one), one.signer, True)


def by_solidity(ask: Ask, cases: list[Case]) -> list[str | None]:
    function = Function("signers(bytes32[],bytes[])", "address[]")
    found: list[str | None] = []
    for at in range(0, len(cases), CHUNK):
        part = cases[at : at + CHUNK]
        answers = ask(function, [case.digest for case in part], [case.signature for case in part])
        found.extend(None if int(answer, 16) == 0 else answer.lower() for answer in answers)
    return found


def by_python(cases: list[Case]) -> list[str | None]:
    found = (signatures.recover(case.digest, case.signature) for case in cases)
    return [None if answer is None else answer.lower() for answer in found]


def test_no_malformed_signature_is_accepted(ask: Ask) -> None:
    cases = list(malformed(random.Random(SEED)))
    assert len({(case.digest, case.signature) for case in cases}) == MALFORMED
    python, solidity = by_python(cases), by_solidity(ask, cases)
    for case, mine, theirs in zip(cases, python, solidity, strict=True):
        assert mine == theirs, case
        assert mine != case.signer.lower(), case
        if not case.recovers:
            assert mine is None, case
    # Those that are well formed find somebody: it is not that nothing is ever found.
    found = Counter(case.kind for case, mine in zip(cases, python, strict=True) if mine is not None)
    assert min(found["other digest"], found["other_parity"], found["bit_flipped"]) >= 100, found


def test_both_forms_of_a_good_signature_are_accepted(ask: Ask) -> None:
    chance = random.Random(SEED + 1)
    made = [signed(chance) for _ in range(CONTROLS)]
    assert 100 < sum(one.parity for one in made) < CONTROLS - 100
    for kind, form in (("long", Signed.long), ("short", Signed.short)):
        cases = [Case(kind, one.digest, form(one), one.signer, True) for one in made]
        expected = [one.signer.lower() for one in made]
        assert by_python(cases) == expected, kind
        assert by_solidity(ask, cases) == expected, kind
