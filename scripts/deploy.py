"""`ape run deploy`: the whole venue on one chain, once.

Invariant: the chain is asked before every step, so that a second run changes nothing and a run after a failure goes on
where the first one stopped; the registry file names a contract only after its transaction is mined. Deliberately no
upgrades and no changes of parameters: after a deployment those are the timelock's.
"""

from pathlib import Path
from typing import Any

import click
from ape.cli import ConnectedProviderCommand
from ape.exceptions import ApeException

from offchain.domain.errors import HooatsError

ROOT = Path(__file__).resolve().parent.parent


class Command(ConnectedProviderCommand):
    """Prints a failure of the world as one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HooatsError as error:
            raise click.ClickException(str(error)) from None
        except ApeException as error:
            raise click.ClickException(" ".join(str(error).split())[:300]) from None


@click.command(cls=Command)
@click.option("--account", envvar="HOOATS_DEPLOYER", help="Account of ape that pays and signs.")
@click.option(
    "--key-file",
    envvar="HOOATS_DEPLOYER_KEY_FILE",
    type=click.Path(path_type=Path),
    help="File with the deployer's private key (hex, or a keystore), instead of --account. Nothing is asked.",
)
@click.option(
    "--password-file",
    envvar="HOOATS_DEPLOYER_PASSWORD_FILE",
    type=click.Path(path_type=Path),
    help="File with the keystore's password.",
)
@click.option(
    "--parameters",
    "parameters_file",
    envvar="HOOATS_PARAMETERS",
    type=click.Path(path_type=Path),
    help="What to deploy. Default: deployment/local.yaml on a development chain, else deployment/<chain id>.yaml.",
)
@click.option(
    "--roles",
    "roles_file",
    envvar="HOOATS_ROLES",
    type=click.Path(path_type=Path),
    help='JSON file {"settler": "0x…", "committer": …}; wins over the parameters.',
)
@click.option(
    "--registry",
    "registry_file",
    envvar="HOOATS_REGISTRY",
    type=click.Path(path_type=Path),
    help="Registry file to write. Default: deployments/<chain id>.json.",
)
@click.option(
    "--quote-token", envvar="HOOATS_QUOTE_TOKEN", help="Settlement token; without one a test USDC is deployed."
)
@click.option("--settler", envvar="HOOATS_SETTLER", help="Address of the settle keeper.")
@click.option("--committer", envvar="HOOATS_COMMITTER", help="Address of the commit keeper.")
@click.option("--cosigner", envvar="HOOATS_COSIGNER", help="Address of the node's attestation key.")
@click.option("--poster", envvar="HOOATS_POSTER", help="Address that posts prices.")
@click.option("--fee-account", envvar="HOOATS_FEE_ACCOUNT", help="Vault account that receives fees.")
@click.option("--treasury-account", envvar="HOOATS_TREASURY_ACCOUNT", help="Vault account that receives USDC for CXPT.")
@click.option("--insurance-account", envvar="HOOATS_INSURANCE_ACCOUNT", help="Vault account that takes bad debt.")
@click.option("--proposer", envvar="HOOATS_PROPOSER", help="Address that proposes to the timelock, and executes.")
@click.option("--predict", is_flag=True, help="Print the addresses and send nothing.")
@click.option("--replace", is_flag=True, help="Deploy although the registry names other addresses, and overwrite it.")
@click.option("--install-factory", is_flag=True, help="Create the CREATE2 factory first if the chain has none.")
@click.option("--big-blocks", is_flag=True, help="The deployer is switched to big blocks; for nodes that cannot tell.")
def cli(provider: Any, **options: Any) -> None:
    """Deploy the venue: contracts, roles, synths and markets.

    Addresses depend on the contracts, the parameters and the deployer only: the same on every chain. Running it again
    changes nothing; running it again after a failure goes on where it stopped. It ends with a registry file, which
    node and keepers read.

    \b
    On a chain of your own:
      ape run deploy --network ethereum:local:foundry
      ape run deploy --network hyperliquid:testnet:http://127.0.0.1:8545
    On HyperEVM's testnet:
      ape run deploy --network hyperliquid:testnet --account ALIAS --roles roles.json
    """
    from scripts._run import Options, run

    known = {name: options.pop(name) for name in Options._fields if name in options}
    run(provider, Options(**known, overrides=overrides_of(options)), ROOT)


def overrides_of(options: dict[str, Any]) -> dict[str, str]:
    """Flags by the names that the parameter files use: fee_account -> feeAccount."""
    named = {}
    for flag, value in options.items():
        if value:
            first, *rest = flag.split("_")
            named[first + "".join(part.capitalize() for part in rest)] = str(value)
    return named
