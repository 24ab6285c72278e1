"""Flags that several commands share; each has a `HOOATS_…` twin."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from offchain.cli.urls import Url
from offchain.domain.units import Address

ADDRESS = re.compile("0x[0-9a-fA-F]{40}")
RAW_KEY = re.compile("(0[xX])?[0-9a-fA-F]{62,66}")
"""A private key, and one that lost or won a character on its way here."""
F = TypeVar("F", bound=Callable[..., Any])


def flag(name: str, help: str, **settings: Any) -> Callable[[F], F]:
    """`--some-flag` with the twin HOOATS_SOME_FLAG, shown in the help."""
    twin = "HOOATS_" + name.lstrip("-").upper().replace("-", "_")
    return click.option(name, envvar=twin, show_envvar=True, help=help, **{"show_default": True, **settings})


FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


class KeyFile(click.Path):
    """Refuses the key itself in place of its file, and does not repeat it: errors end up in logs."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if is_key(value):
            self.fail("this is a key, and not the name of a file that holds it.", param, ctx)
        return super().convert(value, param, ctx)


def is_key(text: object) -> bool:
    """Whether it looks like a private key, so that it must not be printed."""
    return RAW_KEY.fullmatch(str(text).strip()) is not None


class AddressType(click.ParamType):
    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not ADDRESS.fullmatch(str(value)):
            shown = "what looks like a key" if is_key(value) else repr(str(value)[:60])
            self.fail(f"{shown} is not an address: 0x and 40 hex digits.", param, ctx)
        return Address(str(value).lower())


KEY_FILE = KeyFile(dir_okay=False, path_type=Path)
ADDRESS_OF = AddressType()

DEPLOYMENTS = Path("deployments")
"""Where `ape run deploy` writes."""

data = flag("--data", "Folder of the node: journal, databases, socket.", type=FOLDER, default=Path("data"))
registry = flag(
    "--registry",
    "Deployment registry: a file, or a folder with <chain id>.json.",
    type=click.Path(path_type=Path),
    default=DEPLOYMENTS,
)
chain_id = flag("--chain-id", "Chain whose registry to read if --registry is a folder.", type=int, default=998)
ENDPOINTS = Url("http://127.0.0.1:8545", is_list=True)
GATEWAY = Url("http://127.0.0.1:8080")
rpc = flag(
    "--rpc",
    "URL of a JSON-RPC endpoint; several, comma separated.",
    type=ENDPOINTS,
    default="https://rpc.hyperliquid-testnet.xyz/evm",
)
api = flag("--api", "URL of the exchange's gateway.", type=GATEWAY, default="http://127.0.0.1:8080")
key = flag("--key", "File with the account's private key: 0x-hex, or a keystore.", type=KEY_FILE, required=True)
account = flag("--account", "Whose orders, if the key is that of an agent.", type=ADDRESS_OF)
optional_key = flag("--key", "File with the private key: 0x-hex, or a keystore.", type=KEY_FILE)
password_file = flag("--password-file", "File with the password of a keystore.", type=FILE)
metrics_host = flag("--metrics-host", "Address of /livez, /readyz and /metrics.", default="127.0.0.1")
metrics_port = flag(
    "--metrics-port",
    "Port of /livez, /readyz and /metrics; 0 lets the system choose, and writes it to the data folder; -1: none.",
    type=click.IntRange(-1, 65535),
    default=0,
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


class Addresses(click.Option):
    """An option that may be given again and again, or once with commas: in the environment and in the file."""

    def value_from_envvar(self, ctx: click.Context) -> str | None:
        return self.resolve_envvar_value(ctx)

    def type_cast_value(self, ctx: click.Context, value: str | Iterable[str] | None) -> tuple[Address, ...]:
        """Lower-case addresses in the given order, each once; BadParameter names the one that is none."""
        given = (value,) if isinstance(value, str) else tuple(value or ())
        parts = [part.strip() for text in given for part in text.split(",") if part.strip()]
        for part in parts:
            if not ADDRESS.fullmatch(part):
                raise click.BadParameter(f"{part[:50]!r} is no address. 0x and 40 hex digits.", ctx, self)
        return tuple(dict.fromkeys(Address(part.lower()) for part in parts))


operators = click.option(
    "--operator",
    "operators",
    envvar="HOOATS_OPERATORS",
    show_envvar=True,
    metavar="ADDRESS",
    multiple=True,
    cls=Addresses,
    help="Who may open, pause and delist markets; may be given several times. With one, a new venue's markets begin"
    " paused.",
)


def ops_url(data: Path, url: str) -> str:
    """URL of the ops database: as given, or SQLite in the data folder."""
    return url or f"sqlite:///{data / 'ops.sqlite'}"


def history_url(data: Path, url: str) -> str:
    return url or f"sqlite:///{data / 'history.sqlite'}"
