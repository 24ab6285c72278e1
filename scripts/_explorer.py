"""Source code for explorers: Sourcify, Blockscout, and Etherscan with its many relatives.

Invariant: an upload ends as verified, or with the explorer's own reason. A key is sent to the explorer only and is in
no message. Sources: Sourcify API v2, Blockscout API v2, Etherscan API v2 (`verifysourcecode`).
"""

import json
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx

from offchain.domain.errors import ChainUnreachable, ConfigurationError
from scripts._verify import Verdict

KINDS: Final = ("sourcify", "blockscout", "etherscan")
KNOWN: Final = {999: ("etherscan", "https://api.etherscan.io/v2/api")}
"""Explorers by chain. None is established for 998: name one with --explorer-url."""
POLL_SECONDS: Final = 3.0
WAIT_SECONDS: Final = 120.0
REQUEST_SECONDS: Final = 60.0


class Explorer(NamedTuple):
    """`key` is "" where none is needed; `poll` in seconds."""

    kind: str
    url: str
    key: str = ""
    poll: float = POLL_SECONDS


def find_explorer(chain_id: int, kind: str | None, url: str | None, key_file: Path | None) -> Explorer | None:
    """The explorer that the flags name, or the known one of the chain if its key is there; None without one."""
    key = _read_key(key_file) if key_file is not None else ""
    if url:
        if not url.startswith(("http://", "https://")):
            raise ConfigurationError(f"{url[:60]} is no URL of an explorer", remedy="It starts with https://")
        return Explorer(kind or _guess(url), url.rstrip("/"), key)
    if chain_id in KNOWN and key:
        return Explorer(*KNOWN[chain_id], key)
    return None


def upload(explorer: Explorer, chain_id: int, verdict: Verdict) -> str:
    """What the explorer says in the end. `ConfigurationError` with its reason if it refuses."""
    submit = {"sourcify": _sourcify, "blockscout": _blockscout, "etherscan": _etherscan}[explorer.kind]
    try:
        with httpx.Client(timeout=REQUEST_SECONDS, follow_redirects=True) as client:
            return submit(client, explorer, chain_id, verdict)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        remedy = "Try again, or upload the files of --output by hand"
        raise ChainUnreachable(f"the explorer does not answer: {type(error).__name__}", remedy=remedy) from None


def write_inputs(folder: Path, verdicts: list[Verdict]) -> None:
    """For an upload by hand: each contract's standard JSON, and a table of what else explorers ask for."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {}
    for verdict in verdicts:
        if verdict.compiled is not None:
            file = f"{verdict.name.replace(':', '-')}.json"
            (folder / file).write_text(json.dumps(verdict.compiled.standard_input, indent=1))
            rows[verdict.name] = {
                "address": verdict.contract.address,
                "contract": verdict.compiled.identifier,
                "compiler": f"v{verdict.compiled.compiler_version}",
                "standardJson": file,
                "constructorArguments": verdict.arguments.hex(),
            }
    (folder / "contracts.json").write_text(json.dumps(rows, indent=2) + "\n")


def _sourcify(client: httpx.Client, explorer: Explorer, chain_id: int, verdict: Verdict) -> str:
    compiled = _compiled(verdict)
    body = {
        "stdJsonInput": compiled.standard_input,
        "compilerVersion": compiled.compiler_version,
        "contractIdentifier": compiled.identifier,
    }
    if verdict.contract.transaction:
        body["creationTransactionHash"] = verdict.contract.transaction
    answer = client.post(f"{explorer.url}/v2/verify/{chain_id}/{verdict.contract.address}", json=body)
    if answer.status_code == 409:
        return "verified already"
    ticket = _json(answer, verdict)["verificationId"]

    def ask() -> str | None:
        job = _json(client.get(f"{explorer.url}/v2/verify/{ticket}"), verdict)
        if not job.get("isJobCompleted"):
            return None
        if job.get("error"):
            raise _refused(verdict, job["error"].get("message", "no reason"))
        return str(job["contract"]["match"])

    return _poll(explorer, verdict, ask)


def _blockscout(client: httpx.Client, explorer: Explorer, chain_id: int, verdict: Verdict) -> str:
    compiled = _compiled(verdict)
    place = f"{explorer.url}/api/v2/smart-contracts/{verdict.contract.address}"
    answer = client.post(
        f"{place}/verification/via/standard-input",
        data={
            "compiler_version": f"v{compiled.compiler_version}",
            "contract_name": compiled.identifier,
            "license_type": "mit",
            "autodetect_constructor_args": "false",
            "constructor_args": verdict.arguments.hex(),
        },
        files={"files[0]": ("input.json", json.dumps(compiled.standard_input), "application/json")},
    )
    message = str(_json(answer, verdict).get("message", ""))
    if "Already verified" in message:
        return "verified already"

    def ask() -> str | None:
        return "verified" if _json(client.get(place), verdict).get("is_verified") else None

    return _poll(explorer, verdict, ask)


def _etherscan(client: httpx.Client, explorer: Explorer, chain_id: int, verdict: Verdict) -> str:
    compiled = _compiled(verdict)
    query = {"chainid": str(chain_id), "apikey": explorer.key, "module": "contract"}
    answer = _json(
        client.post(
            explorer.url,
            params=query | {"action": "verifysourcecode"},
            data={
                "contractaddress": verdict.contract.address,
                "sourceCode": json.dumps(compiled.standard_input),
                "codeformat": "solidity-standard-json-input",
                "contractname": compiled.identifier,
                "compilerversion": f"v{compiled.compiler_version}",
                # Both spellings: the older one is what most relatives of Etherscan read.
                "constructorArguements": verdict.arguments.hex(),
                "constructorArguments": verdict.arguments.hex(),
            },
        ),
        verdict,
    )
    if answer["status"] != "1":
        if "already verified" in str(answer["result"]).lower():
            return "verified already"
        raise _refused(verdict, str(answer["result"]))
    ticket = answer["result"]

    def ask() -> str | None:
        asked = query | {"action": "checkverifystatus", "guid": ticket}
        state = _json(client.get(explorer.url, params=asked), verdict)
        if "pending" in str(state["result"]).lower():
            return None
        if state["status"] != "1" and "already verified" not in str(state["result"]).lower():
            raise _refused(verdict, str(state["result"]))
        return "verified"

    return _poll(explorer, verdict, ask)


def _poll(explorer: Explorer, verdict: Verdict, ask: Any) -> str:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        answer = ask()
        if answer is not None:
            return str(answer)
        time.sleep(explorer.poll)
    raise ConfigurationError(
        f"the explorer has not decided about {verdict.name} in {WAIT_SECONDS:.0f} s", remedy="Look again later"
    )


def _compiled(verdict: Verdict) -> Any:
    assert verdict.compiled is not None, verdict.name
    return verdict.compiled


def _json(answer: httpx.Response, verdict: Verdict) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        content = None
    if answer.status_code >= 400 or not isinstance(content, dict):
        reason = content.get("message") if isinstance(content, dict) else None
        raise _refused(verdict, str(reason or f"status {answer.status_code}"))
    return content


def _refused(verdict: Verdict, reason: str) -> ConfigurationError:
    return ConfigurationError(f"the explorer refuses {verdict.name}: {' '.join(reason.split())[:200]}")


def _guess(url: str) -> str:
    if "sourcify" in url:
        return "sourcify"
    return "etherscan" if url.rstrip("/").endswith("/api") else "blockscout"


def _read_key(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ConfigurationError(f"cannot read the explorer's key in {path.name}: {error.strerror}") from None
