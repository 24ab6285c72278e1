"""Run slither over contracts/, and hold what it finds against docs/audit/slither.toml.

Every finding of high or medium impact needs an entry there with a reason, and so does every function that slither says
it could not analyse: nothing that it does not see may look clean. An entry that fits nothing any more is an error too.
Findings are named by what they say, not by line numbers, which every change moves.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from audit import ENVIRONMENT, ROOT, building_in, run

TRIAGE = ROOT / "docs" / "audit" / "slither.toml"
REPORT = ROOT / ".build" / "slither" / "report.json"
SERIOUS = ("High", "Medium")
UNSEEN = re.compile(r"^Impossible to generate IR for (\S+) \(([^#]+)#", re.MULTILINE)
OURS = "contracts/"
NOT_DEPLOYED = "contracts/mocks/"


class Finding(NamedTuple):
    check: str
    where: str
    """Contract.function, or the contract where it is no function's."""
    what: str
    """The expression or variable."""

    def __str__(self) -> str:
        return f"{self.check}: {self.where}: {self.what}"


def finding_of(detected: Mapping[str, Any]) -> Finding:
    """The name of one finding of slither's report: of its first element, and of the innermost one that it shows."""
    first = detected["elements"][0]
    shown = next((element for element in detected["elements"] if element["type"] == "node"), first)
    return Finding(detected["check"], place_of(first), shown["name"])


def place_of(element: Mapping[str, Any]) -> str:
    parents = []
    parent = element if element["type"] == "function" else element["type_specific_fields"]["parent"]
    while parent["type"] in ("function", "contract"):
        parents.append(parent["name"])
        if parent["type"] == "contract":
            break
        parent = parent["type_specific_fields"]["parent"]
    return ".".join(reversed(parents))


def unseen_in(output: str) -> set[Finding]:
    return {
        Finding("unseen", name, "not analysed")
        for name, file in UNSEEN.findall(output)
        if file.startswith(OURS) and name.split(".")[0] not in mocks()
    }


def mocks() -> set[str]:
    return {path.stem for path in (ROOT / NOT_DEPLOYED).glob("*.sol")}


def triaged(path: Path = TRIAGE) -> dict[Finding, str]:
    entries = tomllib.loads(path.read_text())["finding"]
    return {Finding(entry["check"], entry["where"], entry["what"]): entry["reason"].strip() for entry in entries}


def complaints(found: Iterable[Finding], reasons: Mapping[Finding, str]) -> list[str]:
    """What keeps the findings from being settled, one line each; empty if nothing does."""
    present = set(found)
    return [
        *(f"untriaged: {finding}" for finding in sorted(present - reasons.keys())),
        *(f"triaged, but no longer found: {finding}" for finding in sorted(reasons.keys() - present)),
        *(f"no reason: {finding}" for finding, reason in sorted(reasons.items()) if not reason),
    ]


def analyse() -> tuple[set[Finding], str]:
    """All serious findings, and a line that says how many there are of which impact."""
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.unlink(missing_ok=True)
    command = [str(ENVIRONMENT / "bin" / "slither"), ".", "--compile-force-framework", "foundry", "--skip-clean"]
    options = ["--filter-paths", f"node_modules/|{NOT_DEPLOYED}", "--json", str(REPORT), "--fail-none"]
    ran = run([*command, *options], building_in("slither"))
    report = json.loads(REPORT.read_text()) if REPORT.is_file() else {"success": False}
    if ran.returncode != 0 or not report["success"]:
        raise SystemExit(f"{ran.stdout}\nslither did not run to its end (exit {ran.returncode})")
    analysed = re.search(r"analyzed \((\d+) contracts with (\d+) detectors\)", ran.stdout)
    if analysed is None or int(analysed[1]) == 0:
        raise SystemExit("slither analysed no contract")
    detected: Sequence[Mapping[str, Any]] = report["results"].get("detectors", [])
    counts = {impact: sum(item["impact"] == impact for item in detected) for impact in (*SERIOUS, "Low")}
    summary = f"{analysed[1]} contracts, {analysed[2]} detectors: " + ", ".join(
        f"{number} {impact.lower()}" for impact, number in counts.items()
    )
    serious = {finding_of(item) for item in detected if item["impact"] in SERIOUS}
    return serious | unseen_in(ran.stdout), summary


def main() -> int:
    found, summary = analyse()
    problems = complaints(found, triaged())
    for line in problems:
        print(line)
    print(f"slither: {summary}; {len(found)} to triage, {len(problems)} open")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
