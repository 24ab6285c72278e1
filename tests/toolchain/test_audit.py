"""The audit tools: each is red when it should be, whatever the contracts are like today."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load(name: str) -> ModuleType:
    """A script of toolchain/, which finds its neighbours as it does when it is run."""
    sys.path.insert(0, str(ROOT / "toolchain"))
    try:
        spec = importlib.util.spec_from_file_location(f"toolchain_{name}", ROOT / "toolchain" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(ROOT / "toolchain"))


slither, coverage, mutants = (load(name) for name in ("run_slither", "check_coverage", "mutants"))
mutate, prove = (load(name) for name in ("mutate", "prove"))

# slither


def contract(name: str) -> dict[str, Any]:
    return {"type": "contract", "name": name, "type_specific_fields": {"parent": {"type": "file", "name": "x.sol"}}}


def test_a_finding_is_named_by_what_it_says() -> None:
    function = {"type": "function", "name": "mint", "type_specific_fields": {"parent": contract("AmmPair")}}
    node = {"type": "node", "name": "shares == 0", "type_specific_fields": {"parent": function}}
    named = slither.finding_of({"check": "incorrect-equality", "elements": [function, node]})
    assert named == slither.Finding("incorrect-equality", "AmmPair.mint", "shares == 0")
    variable = {"type": "variable", "name": "_x", "type_specific_fields": {"parent": contract("AmmPair")}}
    named = slither.finding_of({"check": "uninitialized-state", "elements": [variable]})
    assert named == slither.Finding("uninitialized-state", "AmmPair", "_x")


def test_what_slither_could_not_read_is_a_finding() -> None:
    line = "Impossible to generate IR for {} ({}#162-173):\n 'NoneType' object has no attribute 'parameters'\n"
    output = line.format("SynthIssuer._keep", "contracts/SynthIssuer.sol") + line.format("A.b", "node_modules/A.sol")
    output += line.format("VaultTwo._credit", "contracts/Vault.sol")
    assert slither.unseen_in(output) == {slither.Finding("unseen", "SynthIssuer._keep", "not analysed")}


def test_untriaged_stale_and_unexplained_are_complaints() -> None:
    known, new, gone = (slither.Finding("check", "C.f", what) for what in ("known", "new", "gone"))
    assert slither.complaints({known}, {known: "because"}) == []
    assert slither.complaints({known, new}, {known: "because"}) == ["untriaged: check: C.f: new"]
    assert slither.complaints(set(), {gone: "because"}) == ["triaged, but no longer found: check: C.f: gone"]
    assert slither.complaints({known}, {known: ""}) == ["no reason: check: C.f: known"]


def test_the_committed_triage_gives_reasons() -> None:
    reasons = slither.triaged()
    assert reasons
    assert [str(finding) for finding, reason in reasons.items() if len(reason) < 20] == []


# coverage

LCOV = """TN:
SF:contracts/A.sol
DA:1,5
DA:2,{line}
BRDA:2,0,0,3
BRDA:2,0,1,{branch}
end_of_record
SF:contracts/mocks/M.sol
DA:1,0
end_of_record
"""


def measured(line: int, branch: str) -> list[Any]:
    files: list[Any] = coverage.deployed(coverage.parse(LCOV.format(line=line, branch=branch)))
    return files


def test_full_coverage_is_no_complaint() -> None:
    assert coverage.complaints(measured(1, "1")) == []
    assert coverage.summary(measured(1, "1")) == "coverage: 2 of 2 lines, 2 of 2 branches, 1 files"


def test_lines_and_branches_that_are_missing_are_named() -> None:
    assert coverage.complaints(measured(0, "1")) == ["contracts/A.sol:2: never runs"]
    for untaken in ("0", "-"):
        assert coverage.complaints(measured(1, untaken)) == ["1 of 2 branches are fewer than 95 of 100"]


def test_an_empty_measurement_is_a_complaint() -> None:
    assert coverage.complaints([]) == ["nothing was measured"]


# mutation


def result(verdict: str, new: str = "x + 1") -> dict[str, Any]:
    mutant = mutate.Mutant("FeeMath", "contracts/libraries/FeeMath.sol", "AOR", 40, 45, "x  -\n 1", new)
    return {"verdict": verdict, "seconds": 1, "key": mutant.key, **mutate.dataclasses.asdict(mutant)}


def test_only_mutants_that_differ_count() -> None:
    verdicts = ["caught", "timeout", "survived", "equivalent", "invalid"]
    assert mutate.score_of(result(verdict) for verdict in verdicts) == (2, 3)


@pytest.mark.parametrize(("caught", "survived", "listed", "code"), [(9, 1, True, 0), (9, 1, False, 1), (4, 1, True, 1)])
def test_red_at_a_low_score_or_an_unexplained_survivor(
    monkeypatch: pytest.MonkeyPatch, caught: int, survived: int, listed: bool, code: int
) -> None:
    known = {("FeeMath", "AOR", "x - 1", "x + 1"): "because"} if listed else {}
    monkeypatch.setattr(mutate, "explained", lambda: known)
    results = [result("caught")] * caught + [result("survived")] * survived
    assert mutate.report("FeeMath", results, 20) == code


def test_no_mutant_at_all_is_red(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutate, "explained", dict)
    assert mutate.report("FeeMath", [], 20) == 1


def mutant(number: int) -> Any:
    return mutate.Mutant("FeeMath", "contracts/libraries/FeeMath.sol", "AOR", number, number + 1, "-", "+")


def test_a_sample_ends_when_enough_compiled_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    order, record = [mutant(number) for number in range(6)], tmp_path / "record.jsonl"
    sample = mutate.Sample(order, record, 2, minutes=1)
    for verdict in ("invalid", "caught", "equivalent"):
        sample.keep(sample.next(), verdict, "", 0.1)
    assert sample.next() is None
    again = mutate.Sample(order, record, 3, minutes=1)
    assert [result["start"] for result in again.results] == [0, 1, 2]
    assert again.next() == order[3]
    assert mutate.Sample(order, record, 9, minutes=0).next() is None


def test_a_mutant_replaces_bytes() -> None:
    source = "ä a - b".encode()
    assert mutate.Mutant("C", "C.sol", "AOR", 5, 6, "-", "+").applied(source) == "ä a + b"


def test_what_a_contract_is_made_of() -> None:
    found = mutants.closure_of(["contracts/Vault.sol"])
    assert {"contracts/Vault.sol", "contracts/VaultBase.sol", "contracts/libraries/Outflows.sol"} <= set(found)
    assert "node_modules/@openzeppelin/contracts/utils/math/Math.sol" in found
    assert "contracts/Settlement.sol" not in found


def test_every_target_is_there_and_is_asked_about() -> None:
    for target in mutate.TARGETS.values():
        assert (ROOT / "contracts" / f"{target.built}.sol").is_file()
        assert mutate.tests_of(target)
        assert not any("Gas" in file for file in mutate.tests_of(target))


def test_the_killer_is_named() -> None:
    assert (
        mutate.killer_in("[PASS] test_a() (gas: 1)\n[FAIL: assertion failed: 1 != 2] test_b() (gas: 1)\n") == "test_b"
    )
    assert mutate.killer_in("nothing") == ""


def test_each_survivor_is_explained() -> None:
    assert [name for name, reason in mutate.explained().items() if len(reason) < 20] == []


# proofs

CLAIMED = {f"check_{letter}" for letter in "abcde"}
PROVED = "".join(f"\x1b[32m[PASS]\x1b[0m {name}(uint256) (paths: 1, bounds: [])\n" for name in sorted(CLAIMED))


def test_all_proved_is_no_problem() -> None:
    assert prove.verdict(PROVED, 0, CLAIMED) == (sorted(CLAIMED), [])


@pytest.mark.parametrize(
    ("output", "code", "problem"),
    [
        (PROVED + "[FAIL] check_f(uint256) (paths: 1)\n", 1, "check_f: FAIL"),
        (PROVED + "[TIMEOUT] check_f(uint256) (paths: 1)\n", 1, "check_f: TIMEOUT"),
        (PROVED, 0, "check_f: not run"),
        (PROVED + "[PASS] check_f()\nWARNING check_f(): paths have not been fully explored\n", 0, "WARNING"),
        (PROVED + "[PASS] check_f()\n", 1, "halmos failed (exit 1)"),
        ("[PASS] check_f()\n", 0, "1 proofs are fewer than 5"),
    ],
)
def test_what_is_no_whole_proof_is_a_problem(output: str, code: int, problem: str) -> None:
    claimed = {"check_f"} | (CLAIMED if PROVED in output else set())
    assert any(problem in line for line in prove.verdict(output, code, claimed).problems)


def test_the_docs_say_what_is_proved_and_what_is_not() -> None:
    text = (ROOT / "docs" / "audit" / "README.md").read_text()
    assert set(re.findall(r"`(check_\w+)`", text)) == prove.claimed_in_sources()
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "forge").glob("*.t.sol"))
    for name in re.findall(r"`((?:testFuzz|invariant)_\w+)`", text):
        assert f"function {name}(" in tests


def test_the_sources_claim_enough() -> None:
    assert len(prove.claimed_in_sources()) >= prove.MIN_PROOFS


# setup


def test_the_audit_lock_is_of_the_tools_it_names() -> None:
    lock = (ROOT / "requirements-audit.lock").read_text()
    for line in (ROOT / "requirements-audit.in").read_text().splitlines():
        if not line.startswith("#"):
            assert f"\n{line} \\" in f"\n{lock}"
