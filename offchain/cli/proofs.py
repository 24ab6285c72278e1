"""`hooats prove` and `hooats verify`: evidence that an order was received, at which position, in which epoch."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from offchain.chain.contracts import OrderbookCommitment, Vault
from offchain.chain.registry import Registry, load_registry
from offchain.chain.wallet import Endpoint
from offchain.cli import options
from offchain.cli.exchange import ask
from offchain.cli.failures import Negative
from offchain.cli.money import first_url
from offchain.domain.errors import InvalidInput
from offchain.projector.proofs import group_receipt_signer, receipt_signer, verify_proof


@click.command()
@click.argument("order_id")
@click.option("--out", type=options.FILE, help="File to write; standard output if not given.")
@options.api
def prove(order_id: str, out: Path | None, api: str) -> None:
    """Write the proof file of the order ORDER_ID.

    It holds header, leaf, merkle path, order, signature and receipt.
    """
    body = ask(api, None, None, lambda client: client.proof(quote(order_id, safe="")))
    text = json.dumps(body, indent=2)
    if out is None:
        click.echo(text)
    else:
        try:
            out.write_text(text + "\n")
        except OSError as error:
            raise InvalidInput(f"cannot write {out}: {error.strerror}", field="--out") from None
        click.echo(f"written to {out}")


@click.command()
@click.argument("proof", type=options.FILE)
@options.registry
@options.chain_id
@options.flag(
    "--rpc",
    "Ask the contracts on this chain; without it, what only the chain knows stays unchecked.",
    default="",
)
@options.as_json
def verify(proof: Path, registry: Path, chain_id: int, rpc: str, as_json: bool) -> None:
    """Check a PROOF file.

    That is order hash, signature, leaf, merkle path, receipt; that its contracts are those of the registry; and, with
    --rpc, that the chain holds the header and that the receipt is by the venue's key.

    Exit code 0 only if everything was checked and holds; without --rpc, what the chain would say is not checked.
    """
    findings = _read(proof, load_registry(registry, chain_id), rpc)
    held = all(finding["ok"] for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": held, "findings": findings}))
    else:
        for finding in findings:
            click.echo(f"{'ok     ' if finding['ok'] else 'FAILED '} {finding['what']}")
    if not held:
        raise Negative(f"{proof} does not verify")


def _read(proof: Path, book: Registry, rpc: str) -> list[dict[str, Any]]:
    try:
        body = json.loads(proof.read_text())
    except OSError as error:
        raise InvalidInput(f"cannot read {proof}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{proof} is not JSON: {str(error)[:100]}") from None
    findings = [{"what": finding.what, "ok": finding.ok} for finding in verify_proof(body)]
    if not isinstance(body, dict):
        return findings
    for field, name in (("contract", "OrderbookCommitment"), ("settlement", "Settlement")):
        is_known = str(body.get(field)).lower() == book.address(name)
        findings.append({"what": f"{field} {body.get(field)} is the registry's {name}", "ok": is_known})
    is_chain = body.get("chainId") == book.chain_id
    findings.append({"what": f"chain {body.get('chainId')} is the registry's", "ok": is_chain})
    if rpc:
        findings.extend(ask_chain(body, book, rpc))
    else:
        findings.append({"what": "the chain holds this header (not checked: give --rpc)", "ok": False})
    return findings


def ask_chain(body: dict[str, Any], book: Registry, rpc: str) -> list[dict[str, Any]]:
    """What the registry's contracts say of the proof."""
    endpoint = Endpoint(first_url(rpc))
    chain_id = int(endpoint.ask("eth_chainId"), 16)
    findings = [{"what": f"the endpoint serves chain {book.chain_id}", "ok": chain_id == book.chain_id}]
    (cosigner,) = endpoint.call(book.address("Vault"), Vault.cosigner)
    is_venue = receipt_signer(body) == str(cosigner).lower()
    findings.append({"what": f"the receipt is signed by the venue's key {str(cosigner).lower()}", "ok": is_venue})
    if isinstance(body.get("groupReceipt"), dict):
        is_venue = group_receipt_signer(body) == str(cosigner).lower()
        findings.append({"what": "the group's receipt is signed by the venue's key, too", "ok": is_venue})
    try:
        header = header_tuple(body["header"])
        sequence, order_hash = int(body["leaf"][0]), bytes.fromhex(body["leaf"][1][2:])
        path = [bytes.fromhex(node[2:]) for node in body["proof"]]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        return [*findings, {"what": f"the file has every field ({error} is missing or malformed)", "ok": False}]
    contract = book.address("OrderbookCommitment")
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
