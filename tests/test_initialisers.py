"""Initialisers are locked: none is missing from the test that tries them, and each implementation locks itself."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRIED = (ROOT / "tests" / "forge" / "Initialisers.t.sol").read_text()


def with_an_initialiser() -> dict[str, str]:
    """{contract: source} of what is deployed and has a function that runs once."""
    sources = {path.stem: path.read_text() for path in (ROOT / "contracts").glob("*.sol")}
    return {name: text for name, text in sources.items() if re.search(r"\b(re)?initializer\b", text)}


def test_every_initialiser_is_tried() -> None:
    assert set(with_an_initialiser()) == {"AmmPair", "SynthERC20", "Vault"}
    for name in with_an_initialiser():
        assert f"abi.encodeCall({name}.initialize, " in TRIED


def test_every_implementation_locks_itself() -> None:
    for name, text in with_an_initialiser().items():
        constructor = re.search(r"\n    constructor\([^)]*\) \{\n(.*?)\n    \}", text, re.DOTALL)
        assert constructor, name
        assert "_disableInitializers();" in constructor[1], name
        assert len(re.findall(r"\b(?:re)?initializer\b", text)) == 1, f"{name} has one initialiser, and no other"
