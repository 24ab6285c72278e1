"""`hooats config`: what the daemons would run with, and where each value comes from."""

import json

import click

from keepers.loop import KEEPERS
from offchain.cli import options
from offchain.cli.configuration import (
    Configuration,
    Setting,
    Tables,
    first_of,
    keeper_defaults,
    refused_variables,
    settings_of,
    unread_variables,
    values_of,
)
from offchain.cli.daemons import flaws
from offchain.domain.errors import ConfigurationError, InvalidInput

OTHER_VARIABLES = frozenset(f"HOOATS_{name}" for name in ("DEBUG", "KEYS", "NETWORK", "REQUIRE", "SOLC"))
"""Variables that are no flag of a command."""


@click.group()
def config() -> None:
    """Show and check the configuration.

    Flags win over the environment, that over the file, that over the defaults.
    """


@config.command("show")
@click.argument("command", nargs=-1)
@options.as_json
@click.pass_context
def show(context: click.Context, command: tuple[str, ...], as_json: bool) -> None:
    """Print every setting of COMMAND, and where it comes from.

    COMMAND is like `node` or `keeper settle`; all commands if none is named.

    What could be a secret is withheld: passwords and long parts of URLs.
    """
    if mistakes := _configuration(context).mistakes:
        raise first_of(mistakes)
    found = [setting for path in _wanted(context, command) for setting in _settings(context, path)]
    if as_json:
        click.echo(json.dumps([setting._asdict() for setting in found]))
        return
    for setting in found:
        click.echo(f"{setting.command:16} {setting.flag:24} {setting.value}  ({setting.source})")


@config.command("check")
@click.pass_context
def check(context: click.Context) -> None:
    """Check every key and value of the file and the environment, and list all mistakes.

    Each key must be a flag of its command, each value one that the flag takes; and with all of them together node,
    keepers and the other commands would start. Keys are not read, and no chain is asked: `hooats doctor` does that.
    """
    configuration = _configuration(context)
    root = context.find_root().command
    assert isinstance(root, click.Group)
    of_file = [*map(str, configuration.mistakes), *_refused(context, configuration)]
    of_environment = refused_variables(root)
    for mistake in (*of_file, *of_environment):
        click.echo(f"mistake: {mistake}", err=True)
    for warning in unread_variables(root, OTHER_VARIABLES):
        click.echo(f"warning: {warning}", err=True)
    places = ((str(configuration.file), len(of_file)), ("the environment", len(of_environment)))
    if words := " and ".join(
        f"{place} has {count} mistake{'s' if count > 1 else ''}" for place, count in places if count
    ):
        raise ConfigurationError(words, remedy="They are listed above")
    if configuration.file is None:
        click.echo("no configuration file: environment and defaults are used")
    else:
        click.echo(f"{configuration.file}: ok, {configuration.values} values")


def _configuration(context: click.Context) -> Configuration:
    found = context.find_object(Configuration)
    assert found is not None, "the root command loads it"
    return found


def _wanted(context: click.Context, words: tuple[str, ...]) -> list[tuple[str, ...]]:
    root = context.find_root().command
    assert isinstance(root, click.Group)
    every = list(_paths(root, ()))
    if not words:
        return every
    found = [path for path in every if path[: len(words)] == words]
    if not found:
        name = " ".join(words)
        raise InvalidInput(
            f"there is no command {name}", field="COMMAND", remedy="Name one, like: node, or keeper settle"
        )
    return found


def _paths(group: click.Group, before: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Every command; the keepers one by one."""
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found.extend(_paths(command, (*before, name)))
        elif name == "keeper":
            found.extend((*before, name, keeper) for keeper in KEEPERS)
        else:
            found.append((*before, name))
    return found


def _settings(context: click.Context, path: tuple[str, ...]) -> list[Setting]:
    return list(settings_of(*_command_of(context, path)))


def _command_of(context: click.Context, path: tuple[str, ...]) -> tuple[click.Command, tuple[str, ...], Tables]:
    """A command, its path, and what the file says to it."""
    command: click.Command = context.find_root().command
    tables = _configuration(context).tables
    for name in path:
        if not isinstance(command, click.Group):
            return command, path, keeper_defaults(tables, name)
        command, tables = command.commands[name], tables.get(name, {})
    return command, path, tables


def _refused(context: click.Context, configuration: Configuration) -> list[str]:
    """What commands that the file says something to would refuse; what several would, of the first."""
    found: dict[str, str] = {}
    for path in _wanted(context, ()):
        command, _, tables = _command_of(context, path)
        if not tables:
            continue
        try:
            words = [str(flaw) for flaw in flaws(path, values_of(command, tables))]
        except click.BadParameter as error:
            if error.param is not None and error.param.name not in tables:
                continue  # of the environment, which is told of by itself
            # From the top of the file, and right for another command.
            words = [error.format_message()]
        for one in words:
            found.setdefault(one, f"{configuration.file}: hooats {' '.join(path)}: {one}")
    return list(found.values())
