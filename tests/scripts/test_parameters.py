"""Parameter files: complete, consistent, or refused with the place of the mistake."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from offchain.domain.errors import ConfigurationError
from scripts._parameters import ROLES, load

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / "deployment" / "local.yaml"


def address(number: int) -> str:
    return f"0x{number:040x}"


def changed(folder: Path, **fields: Any) -> Path:
    path = folder / "parameters.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(LOCAL.read_text()) | fields))
    return path


def test_the_local_parameters_are_complete() -> None:
    parameters = load(LOCAL, {})
    assert set(parameters.roles) == set(ROLES)
    assert [synth.price_units for synth in parameters.synths] == [61_500_000_000, 2_500_000_000]
    btc, eth = parameters.markets
    assert (btc.base_atoms_per_lot, btc.quote_atoms_per_tick_lot) == (10**14, 10)
    assert (eth.base_atoms_per_lot, eth.quote_atoms_per_tick_lot) == (10**15, 10)


def test_the_testnet_parameters_lack_only_the_roles() -> None:
    roles = {role: address(number) for number, role in enumerate(ROLES, start=1)}
    path = ROOT / "deployment" / "998.yaml"
    with pytest.raises(ConfigurationError, match=r"hBTC needs 2 readings of 1 posters, 0 sources.*Name poster2 among"):
        load(path, roles)
    roles |= {"poster2": address(0x92), "poster3": address(0x93)}
    local, testnet = load(LOCAL, roles), load(path, roles)
    assert testnet.markets == local.markets
    assert testnet.role_addresses()["poster3"] == address(0x93)
    with pytest.raises(ConfigurationError, match=f"names no address for {', '.join(ROLES)}"):
        load(ROOT / "deployment" / "998.yaml", {})


def test_a_flag_wins_over_the_roles_file_which_wins_over_the_parameters(tmp_path: Path) -> None:
    roles = tmp_path / "roles.json"
    roles.write_text(json.dumps({"settler": address(1), "committer": address(2)}))
    parameters = load(LOCAL, {"committer": address(3), "quoteToken": address(4)}, roles)
    assert (parameters.role("settler"), parameters.role("committer")) == (address(1), address(3))
    assert parameters.quote_token == address(4)
    assert parameters.role("cosigner") == load(LOCAL, {}).role("cosigner")


def synth(**fields: Any) -> dict[str, Any]:
    return yaml.safe_load(LOCAL.read_text())["synths"][0] | fields


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"surprise": 1}, r"unknown field `surprise`\. Known are version, "),
        ({"synts": []}, r"unknown field `synts`\. The nearest is synths; deployment/README\.md has all"),
        ({"synths": [synth(ceilling="1")]}, r"unknown field `ceilling`.*The nearest is ceiling;"),
        ({"markets": [{"market": 1}]}, r"markets\[0\]"),
        ({"timelockDelaySeconds": 3_600}, "timelockDelaySeconds is too short"),
        ({"quoteToken": "0x12"}, "quoteToken is not an address"),
        ({"factory": address(0)}, "factory is not an address"),
        ({"roles": {"settler": 0x12}}, "Expected `str`, got `int`"),
        ({"roles": {"janitor": address(1)}}, "unknown role janitor. Known are"),
        ({"roles": {"setler": address(1)}}, "unknown role setler. The nearest is settler"),
        ({"synths": [synth(price="1e5")], "markets": []}, "not a plain decimal"),
        ({"synths": [synth(ceiling="many")], "markets": []}, "ceiling of hBTC"),
        ({"outflowPerHour": "much"}, "outflowPerHour"),
        ({"synths": [synth(initialPercent=130)], "markets": []}, "the percentages of hBTC do not fit"),
        ({"synths": [synth(bonusPercent=30)], "markets": []}, "the percentages of hBTC do not fit"),
        ({"synths": [synth(maxAgeSeconds=3_601)], "markets": []}, "the price feed of hBTC does not fit"),
        ({"synths": []}, "market BTC-USDC trades hBTC"),
        ({"synths": [synth(), synth(name="b")], "markets": []}, "a synth is listed"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load(changed(tmp_path, **fields), {})


def test_a_market_listed_twice_or_out_of_range(tmp_path: Path) -> None:
    row = {"market": 1, "symbol": "A", "base": "hBTC", "baseAtomsPerLot": 1, "quoteAtomsPerTickLot": 1}
    for rows, message in (
        ([row, row | {"symbol": "B"}], "a market number is listed twice"),
        ([row, row | {"market": 2}], "a market symbol is listed twice"),
        ([row | {"market": 0}], "out of range"),
        ([row | {"baseAtomsPerLot": 0}], "out of range"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            load(changed(tmp_path, markets=rows), {})


def test_two_processes_never_share_a_key() -> None:
    with pytest.raises(ConfigurationError, match="poster and settler are the same address"):
        load(LOCAL, {"settler": address(0xAB), "poster": f"0x{'0' * 38}AB"})


@pytest.mark.parametrize(("name", "text"), [("a.json", "{"), ("a.yaml", "a: [1"), ("a.yaml", "7")])
def test_a_file_that_is_none(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigurationError):
        load(tmp_path / name, {})
    with pytest.raises(ConfigurationError, match=r"cannot read .*none\.yaml.*--parameters"):
        load(tmp_path / "none.yaml", {})
    with pytest.raises(ConfigurationError, match=r"cannot read .*none\.json.*--roles"):
        load(LOCAL, {}, tmp_path / "none.json")


@pytest.mark.parametrize("file", sorted((ROOT / "deployment").glob("*.yaml")), ids=lambda file: file.name)
def test_only_the_local_file_has_a_quorum_of_one(file: Path) -> None:
    quorums = {row["quorum"] for row in yaml.safe_load(file.read_text())["synths"]}
    assert (quorums == {1}) if file == LOCAL else min(quorums) > 1


def test_every_poster_has_a_key_of_its_own() -> None:
    with pytest.raises(ConfigurationError, match="poster3 and poster2 are the same address"):
        load(LOCAL, {"poster2": address(7), "poster3": address(7)})


def test_a_price_to_begin_with_is_a_quorum_of_one(tmp_path: Path) -> None:
    more = {"poster2": address(7), "poster3": address(8)}
    with pytest.raises(ConfigurationError, match="hBTC has a price to begin with, and a quorum of 2"):
        load(changed(tmp_path, synths=[synth(quorum=2)], markets=[]), more)
    assert load(changed(tmp_path, synths=[synth(quorum=2, price="")], markets=[]), more).synths[0].quorum == 2
