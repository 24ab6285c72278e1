"""A status as text.

Invariant: every problem is printed, last. Deliberately no look at the chain here.
"""

import time

import click

from scripts._status import Status

WEI = 10**18


def print_status(status: Status) -> None:
    click.echo(f"chain {status.chain_id}, block {status.block:,}, blocks of {status.block_gas:,} gas")
    click.echo("contracts")
    for name, state in status.contracts.items():
        click.echo(f"  {name:<28}{state}")
    among = "" if status.is_history_read else " (looked for among the registry's addresses; --history finds anyone)"
    click.echo(f"roles{among}")
    for holder in status.holders:
        mark = "" if holder.is_expected == holder.is_held else "   MISSING" if holder.is_expected else "   UNEXPECTED"
        click.echo(f"  {holder.contract:<20}{holder.role:<22}{holder.holder}{mark}")
    click.echo(f"timelock: {status.delay_seconds / 3_600:g} h; {len(status.operations)} operations pending")
    for operation in status.operations:
        click.echo(f"  {operation.id}  {operation.summary}, from {moment(operation.executable_at)}")
    paused = [f"{name} until {moment(until)}" for name, until in status.pauses.items() if until]
    click.echo(f"paused: {', '.join(paused) or 'nothing'}")
    click.echo("balances")
    for name, (address, wei) in status.balances.items():
        click.echo(f"  {name:<12}{address}  {wei / WEI:.6g}{'   EMPTY' if not wei and name != 'deployer' else ''}")
    click.echo(f"the deployer's blocks: {status.deployer_blocks}")
    click.echo("markets")
    for symbol, row in status.markets.items():
        click.echo(f"  {symbol:<16}{row}")
    for warning in status.warnings:
        click.echo(f"WARNING {warning}")
    for problem in status.problems:
        click.echo(f"PROBLEM {problem}")
    click.echo("all as the registry says" if not status.problems else f"{len(status.problems)} problems")


def moment(at: int) -> str:
    """Unix seconds in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
