"""Mutants of what is written in assembly, where slither-mutate only takes statements out.

One operator becomes its opposite, or one number grows by one. A mutant is named by the whole line it is in.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from audit import ROOT
from mutants import Mutant

MUTATOR = "YUL"
BLOCK = re.compile(r'assembly \("memory-safe"\) \{')
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
PAIRS = (("add", "sub"), ("mul", "div"), ("shl", "shr"), ("lt", "gt"), ("slt", "sgt"), ("and", "or"), ("eq", "xor"))
OTHER = {**dict(PAIRS), **{second: first for first, second in PAIRS}, "sdiv": "mul", "sar": "shr"}
OPERATOR = re.compile(rf"\b({'|'.join(OTHER)})\(")
NEGATION = re.compile(r"\biszero\(")
NUMBER = re.compile(r"\b(0x[0-9a-fA-F]+|\d+)\b")


def assembly_mutants_of(contracts: Sequence[str]) -> list[Mutant]:
    """Of the files of these names, in the order of the source."""
    files = {path.stem: path for path in sorted((ROOT / "contracts").rglob("*.sol"))}
    found = {}
    for contract in contracts:
        if path := files.get(contract):
            source = path.read_text()
            for start, end, new in changes_in(source):
                at = len(source[:start].encode())
                old = source[start:end]
                mutant = Mutant(contract, str(path.relative_to(ROOT)), MUTATOR, at, at + len(old.encode()), old, new)
                found.setdefault((mutant.file, mutant.start, mutant.new), mutant)
    return list(found.values())


def changes_in(source: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, what stands there instead), each of whole lines."""
    code = COMMENT.sub(lambda found: " " * len(found[0]), source)
    for block in BLOCK.finditer(code):
        end = _closing(code, block.end() - 1, "{}")
        for start, stop, new in _edits(code, block.end(), end):
            first = source.rindex("\n", 0, start) + 1
            first += len(source[first:start]) - len(source[first:start].lstrip())
            last = source.index("\n", stop)
            yield first, last, source[first:start] + new + source[stop:last]


def _edits(code: str, start: int, end: int) -> Iterable[tuple[int, int, str]]:
    for found in OPERATOR.finditer(code, start, end):
        yield found.start(1), found.end(1), OTHER[found[1]]
    for found in NEGATION.finditer(code, start, end):
        closing = _closing(code, found.end() - 1, "()") + 1
        yield found.start(), closing, f"iszero({code[found.start() : closing]})"
    for found in NUMBER.finditer(code, start, end):
        number = int(found[1], 0) + 1
        yield found.start(), found.end(), hex(number) if found[1].startswith("0x") else str(number)


def _closing(code: str, opening: int, pair: str) -> int:
    """Where the bracket at `opening` is closed."""
    depth = 0
    for at in range(opening, len(code)):
        depth += (code[at] == pair[0]) - (code[at] == pair[1])
        if depth == 0:
            return at
    raise ValueError(f"no {pair[1]} for the {pair[0]} at {opening}")
