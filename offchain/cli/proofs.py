"""`hooats prove` and `hooats verify`: evidence that an order was received, at which position, in which epoch."""

import json
from pathlib import Path
from typing import Any

import click
import httpx

from offchain.chain.contracts import OrderbookCommitment
from offchain.chain.wallet import Endpoint
from offchain.cli import options
from offchain.cli.failures import Negative
from offchain.cli.money import first_url
from offchain.domain.errors import InvalidInput, SequencerUnavailable
from offchain.projector.proofs import verify_proof


@click.command()
@click.argument("order_id")
@click.option("--out", type=options.FILE, help="File to write; standard output if not given.")
@options.api
def prove(order_id: str, out: Path | None, api: str) -> None:
    """Write the proof file of the order ORDER_ID: header, leaf, proof, order, signature and receipt."""
    try:
        answer = httpx.get(f"{api}/v1/proofs/{order_id}", timeout=30)
        body = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise SequencerUnavailable(f"no answer from {api}: {error}", remedy="Check --api") from None
    if answer.status_code != 200:
        raise Negative(f"no proof of {order_id}: {body['error']['message']}")
    text = json.dumps(body, indent=2)
    if out is None:
        click.echo(text)
    else:
        out.write_text(text + "\n")
        click.echo(f"written to {out}")


@click.command()
@click.argument("proof", type=options.FILE)
@options.flag(
    "--rpc",
    "Also ask the contract on this chain whether it committed to this; without it, only the file itself is checked.",
    default="",
)
@options.as_json
def verify(proof: Path, rpc: str, as_json: bool) -> None:
    """Check a PROOF file: order hash, signature, leaf, merkle path, header hash, receipt; with --rpc, the chain.

    Exit code 0 if everything holds, 1 if anything does not.
    """
    findings = [*_read(proof, rpc)]
    held = all(finding["ok"] for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": held, "findings": findings}))
    else:
        for finding in findings:
            click.echo(f"{'ok     ' if finding['ok'] else 'FAILED '} {finding['what']}")
    if not held:
        raise Negative(f"{proof} does not verify")


def _read(proof: Path, rpc: str) -> list[dict[str, Any]]:
    try:
        body = json.loads(proof.read_text())
    except OSError as error:
        raise InvalidInput(f"cannot read {proof}: {error.strerror}") from None
    except ValueError as error:
        raise InvalidInput(f"{proof} is not JSON: {error}") from None
    findings = [{"what": finding.what, "ok": finding.ok} for finding in verify_proof(body)]
    if rpc:
        findings.extend(ask_contract(body, rpc))
    return findings


def ask_contract(body: dict[str, Any], rpc: str) -> list[dict[str, Any]]:
    """What the commitment contract says of the proof."""
    endpoint = Endpoint(first_url(rpc))
    chain_id = int(endpoint.ask("eth_chainId"), 16)
    findings = [{"what": f"the endpoint serves chain {body.get('chainId')}", "ok": chain_id == body.get("chainId")}]
    try:
        header = header_tuple(body["header"])
        sequence, order_hash = int(body["leaf"][0]), bytes.fromhex(body["leaf"][1][2:])
        path = [bytes.fromhex(node[2:]) for node in body["proof"]]
        contract = body["contract"]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InvalidInput(f"the proof file lacks a field: {error}") from None
    (held,) = endpoint.call(contract, OrderbookCommitment.verify_order, header, sequence, order_hash, path)
    findings.append({"what": "the commitment contract confirms the order", "ok": bool(held)})
    return findings


def header_tuple(header: dict[str, Any]) -> tuple[Any, ...]:
    """The header of a proof file as the contract's struct."""

    def word(name: str) -> bytes:
        return bytes.fromhex(header[name][2:])

    return (
        int(header["epoch"]),
        word("parent"),
        int(header["first"]),
        int(header["last"]),
        word("ordersRoot"),
        word("commandsRoot"),
        word("stateRoot"),
        int(header["volume"]),
        int(header["count"]),
        word("dataHash"),
    )
