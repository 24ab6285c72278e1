"""docs/audit/invariants.md and the tests: what it names is there, and what is there is named."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "audit" / "invariants.md"
FORGE = PAGE.parents[2] / "tests" / "forge"
NUMBERS = [f"I{number}" for number in range(1, 15)]

ROW = re.compile(r"^\| (I\d+) \|(.*)\|$", re.MULTILINE)
NAMED = re.compile(r"\[`(\w+)`\]\(([^)]+)\)")
INVARIANT = re.compile(r"function (invariant_\w+)\(")


def rows() -> dict[str, str]:
    found = ROW.findall(PAGE.read_text())
    assert [number for number, _ in found] == NUMBERS, "one row each, in order"
    return dict(found)


def invariants() -> set[str]:
    return {name for file in FORGE.glob("*.sol") for name in INVARIANT.findall(file.read_text())}


def test_each_of_the_fourteen_is_stated_and_asked() -> None:
    for number, row in rows().items():
        statement, asked, hostile = row.split(" | ")
        assert statement.strip() and hostile.strip() and NAMED.search(asked), number


def test_every_test_that_is_named_is_there() -> None:
    for number, row in rows().items():
        for name, place in NAMED.findall(row):
            source = (PAGE.parent / place).read_text()
            assert re.search(rf"\b(function|def|class) {name}\b", source), f"{number}: {place} has no {name}"


def test_every_invariant_of_the_code_has_its_numbers_and_is_named_there() -> None:
    table = rows()
    assert invariants()
    for name in invariants():
        numbers = re.findall(r"_(I\d+)(?=_)", name)
        assert numbers, f"{name} says no number"
        for number in numbers:
            assert f"`{name}`" in table[number], f"{number} does not name {name}"


def test_a_row_names_what_carries_its_number_only() -> None:
    for number, row in rows().items():
        for name, _ in NAMED.findall(row):
            assert not name.startswith("invariant") or f"_{number}_" in name, f"{number}: {name}"


FEWER = re.compile(r"((?:^ *///.*\n)+) *function (test\w+)\(", re.MULTILINE)
RUNS = re.compile(r"forge-config: (default|fuzz)\.fuzz\.runs = (\d+)")


def test_fewer_runs_have_a_reason_and_ten_times_as_many_in_make_fuzz() -> None:
    """What a test says of its own runs holds for every profile that it does not name."""
    found = 0
    for file in FORGE.glob("*.sol"):
        for comment, name in FEWER.findall(file.read_text()):
            runs = {profile: int(number) for profile, number in RUNS.findall(comment)}
            if not runs:
                continue
            found += 1
            assert runs["fuzz"] >= 10 * runs["default"] >= 1_000, name
            assert re.search(r"Fewer\s+runs", comment), f"{name} does not say why it has fewer runs"
    assert found
