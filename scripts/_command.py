"""What every script of `ape run` shares: flags, a connection, and failures in one line.

Invariant: whatever a user can get wrong (a flag, a file, a password, an endpoint) ends in one line that says what to
do, and in an exit status above 0: 2 for what the caller can put right. Deliberately nothing about contracts here.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from ape.cli import ConnectedProviderCommand
from ape.exceptions import ApeException, ProviderError

from offchain.domain.errors import ConfigurationError, HooatsError, InvalidInput

ROOT = Path(__file__).resolve().parent.parent
USAGE_STATUS = 2
PATH = click.Path(path_type=Path)


class Refusal(click.ClickException):
    """One line on standard error."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(" ".join(message.split())[:400])
        self.exit_code = status

    def show(self, file: Any = None) -> None:
        """As `hooats` says it."""
        click.echo(f"hooats: {self.message}", file=file, err=file is None)


class Command(ConnectedProviderCommand):
    """Prints a mistake of the caller, or a failure of the world, as one line."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            message = error.format_message()
            end = "" if message.endswith((".", "?")) else "."
            raise Refusal(f"{message}{end} Try: ape run {info_name} --help", USAGE_STATUS) from None
        except ProviderError as error:
            raise Refusal(unreachable(error)) from None
        except ApeException as error:  # a network that ape does not know
            raise Refusal(str(error), USAGE_STATUS) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ConfigurationError, InvalidInput) as error:
            raise Refusal(str(error), USAGE_STATUS) from None
        except HooatsError as error:
            raise Refusal(str(error)) from None
        except ProviderError as error:
            raise Refusal(unreachable(error)) from None
        except ApeException as error:
            raise Refusal(str(error)) from None


def unreachable(error: ProviderError) -> str:
    """An endpoint that does not answer, and what to do."""
    text = " ".join(str(error).split()).rstrip(".")
    if "node found" not in text and "onnect" not in text:
        return text
    return f"{text}. Start the node, or name another one: --network hyperliquid:testnet:URL"


def signing_options(role: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """--account, --key-file and --password-file of one who signs; `role` as in "deployer"."""
    name = role.upper()

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option(
                "--password-file",
                envvar=f"HOOATS_{name}_PASSWORD_FILE",
                type=PATH,
                help="File with the keystore's password.",
            ),
            click.option(
                "--key-file",
                envvar=f"HOOATS_{name}_KEY_FILE",
                type=PATH,
                help=f"File with the {role}'s private key (hex, or a keystore), instead of --account.",
            ),
            click.option(
                "--account",
                metavar="ALIAS",
                envvar=f"HOOATS_{name}",
                help=f"Alias of an ape account (ape accounts import ALIAS): the {role}'s, who pays and signs.",
            ),
        ):
            command = option(command)
        return command

    return decorate


def registry_option(help: str = "Registry file. Default: deployments/<chain id>.json.") -> Callable[..., Any]:
    return click.option("--registry", "registry_file", envvar="HOOATS_REGISTRY", type=PATH, help=help)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(command)
