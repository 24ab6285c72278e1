"""The root of the command line.

A command's module is imported when the command is asked for: importing all of them takes a second, which a trader's
`hooats order` and each of an operator's daemons would spend on what they do not use.
"""

import sys
from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from pathlib import Path
from typing import cast

import click

from offchain import __version__
from offchain.cli import options
from offchain.cli.configuration import load_configuration
from offchain.cli.failures import report, usage_line

MODULES = {
    "node": "daemons",
    "keeper": "daemons",
    "config": "config",
    "doctor": "doctor",
    "backup": "backup",
    "restore": "backup",
    "deposit": "money",
    "withdraw": "money",
    "balances": "money",
    "order": "orders",
    "market": "market",
    "quote": "market",
    "debt": "debt",
    "amm": "amm",
    "prove": "proofs",
    "verify": "proofs",
    "replay": "journals",
    "journal": "journals",
}
"""Where in `offchain.cli` each command is, as an attribute of its own name."""
LOGGING = ("node", "keeper")
"""Commands whose standard error is a log, line by line."""


class Commands(Mapping[str, click.Command]):
    """The commands by name; looking one up imports it."""

    def __getitem__(self, name: str) -> click.Command:
        command = getattr(import_module(f"offchain.cli.{MODULES[name]}"), name)
        assert isinstance(command, click.Command)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)

    def __contains__(self, name: object) -> bool:
        return name in MODULES


@click.group(
    commands=cast("MutableMapping[str, click.Command]", Commands()),  # click adds nothing to it
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
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
    if not context.obj.is_named and context.invoked_subcommand not in LOGGING:
        click.echo(f"hooats: configuration from ./{context.obj.file}", err=True)


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
