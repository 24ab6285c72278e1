"""`ape run probe_hyperevm`: what an endpoint really does, as a report."""

import json
from pathlib import Path
from typing import Any

import click

from scripts._command import PATH, Command, json_option, signing_options


@click.command(cls=Command)
@signing_options("probe")
@click.option("--send", is_flag=True, help="Send a few transfers of nothing to oneself, to learn about the mempool.")
@click.option("--output", type=PATH, help="File to write the report to, beside printing it.")
@json_option
def cli(
    provider: Any,
    account: str | None,
    key_file: Path | None,
    password_file: Path | None,
    send: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Ask an endpoint what is not established about HyperEVM, one question at a time.

    Each answer is yes, no, a value, or unknown with the reason. Nothing is sent without --send, which needs a key with
    a little gas money and nothing else to do.

    \b
      ape run probe_hyperevm --network hyperliquid:testnet
      ape run probe_hyperevm --send --key-file probe.key --output report.md --network hyperliquid:testnet
    """
    from scripts._accounts import find_signer
    from scripts._chain import Chain
    from scripts._probes import Probe, fetch_json, report
    from scripts._run import pause_for

    chain = Chain(provider.web3, pause_for(getattr(provider, "uri", None)))
    signer = find_signer(account, key_file, password_file, chain.is_development, "probe") if send else None
    answers = Probe(chain, signer, fetch_json).run()
    if as_json:
        rows = [answer._asdict() for answer in answers]
        text = json.dumps({"chainId": chain.id, "answers": rows}, indent=2) + "\n"
    else:
        text = report(chain.id, str(chain.web3.client_version), answers)
    if output is not None:
        output.write_text(text)
    click.echo(text, nl=False)
