"""The root of the command line."""

import sys
from pathlib import Path

import click

from offchain import __version__
from offchain.cli import amm, backup, config, daemons, debt, doctor, journals, market, money, options, orders, proofs
from offchain.cli.configuration import load_configuration
from offchain.cli.failures import report, usage_line


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="hooats")
@options.flag("--config", "Configuration file (TOML); ./hooats.toml if it is there.", type=options.FILE)
@click.pass_context
def hooats(context: click.Context, config: Path | None) -> None:
    """A hybrid exchange for HyperEVM: an off-chain order book whose every fill is proved on chain.

    Operators run `node` and the keepers. Traders `deposit`, `order` and `withdraw`. Anyone may `prove`, `verify` and
    `replay`. Every flag can be given as an environment variable, named in its help, or in a configuration file: see
    `hooats config show`.
    """
    assert isinstance(context.command, click.Group)
    context.obj = load_configuration(config, context.command, is_checked=context.invoked_subcommand == "config")
    context.default_map = context.obj.tables
    if not context.obj.is_named and context.invoked_subcommand not in daemons.NAMES:
        click.echo(f"hooats: configuration from ./{context.obj.file}", err=True)


hooats.add_command(daemons.node)
hooats.add_command(daemons.keeper)
hooats.add_command(config.config)
hooats.add_command(doctor.doctor)
hooats.add_command(backup.backup)
hooats.add_command(backup.restore)
hooats.add_command(money.deposit)
hooats.add_command(money.withdraw)
hooats.add_command(money.balances)
hooats.add_command(orders.order)
hooats.add_command(market.market)
hooats.add_command(market.quote)
hooats.add_command(debt.debt)
hooats.add_command(amm.amm)
hooats.add_command(proofs.prove)
hooats.add_command(proofs.verify)
hooats.add_command(journals.replay)
hooats.add_command(journals.journal)


def main() -> None:
    """Entry point: runs, turns every failure into one line and an exit code."""
    try:
        status = hooats.main(prog_name="hooats", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.UsageError as error:
        click.echo(usage_line(error), err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        sys.exit(report(error))
    sys.exit(status if isinstance(status, int) else 0)
