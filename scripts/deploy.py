"""`ape run deploy`: the whole venue on one chain, once.

Invariant: the chain is asked before every step, so that a second run changes nothing and a run after a failure goes on
where the first one stopped; the registry file names a contract only after its transaction is mined. Deliberately no
upgrades and no changes of parameters: after a deployment those are the timelock's.
"""

from typing import Any

import click

from scripts._command import PATH, ROOT, Command, registry_option, signing_options


@click.command(cls=Command)
@signing_options("deployer")
@click.option(
    "--parameters",
    "parameters_file",
    envvar="HOOATS_PARAMETERS",
    type=PATH,
    help="What to deploy. Default: deployment/local.yaml on a development chain, else deployment/<chain id>.yaml.",
)
@click.option(
    "--roles",
    "roles_file",
    envvar="HOOATS_ROLES",
    type=PATH,
    help='JSON file {"settler": "0x…", "committer": …}; wins over the parameters.',
)
@registry_option("Registry file to write. Default: deployments/<chain id>.json.")
@click.option(
    "--quote-token", envvar="HOOATS_QUOTE_TOKEN", help="Settlement token; without one a test USDC is deployed."
)
@click.option("--settler", envvar="HOOATS_SETTLER", help="Address of the settle keeper.")
@click.option("--committer", envvar="HOOATS_COMMITTER", help="Address of the commit keeper.")
@click.option("--cosigner", envvar="HOOATS_COSIGNER", help="Address of the node's attestation key.")
@click.option("--poster", envvar="HOOATS_POSTER", help="Address that posts prices.")
@click.option("--lister", envvar="HOOATS_LISTER", help="Address of the list keeper, which brings markets on chain.")
@click.option("--guardian", envvar="HOOATS_GUARDIAN", help="Address that may pause deposits, settlement and new debt.")
@click.option("--fee-account", envvar="HOOATS_FEE_ACCOUNT", help="Vault account that receives fees.")
@click.option("--treasury-account", envvar="HOOATS_TREASURY_ACCOUNT", help="Vault account that receives USDC for CXPT.")
@click.option("--insurance-account", envvar="HOOATS_INSURANCE_ACCOUNT", help="Vault account that takes bad debt.")
@click.option("--proposer", envvar="HOOATS_PROPOSER", help="Address that proposes to the timelock, and executes.")
@click.option("--predict", is_flag=True, help="Print the addresses and send nothing.")
@click.option("--replace", is_flag=True, help="Deploy although the registry names other addresses, and overwrite it.")
@click.option("--install-factory", is_flag=True, help="Create the CREATE2 factory first if the chain has none.")
@click.option("--big-blocks", is_flag=True, help="The deployer is switched to big blocks; for nodes that cannot tell.")
@click.option("--no-handover", is_flag=True, help="Leave the deployer as admin; `ape run handover` finishes.")
def cli(provider: Any, **options: Any) -> None:
    """Deploy the venue: contracts, roles, synths and markets.

    Addresses depend on the contracts, the parameters and the deployer only: the same on every chain. Running it again
    changes nothing; running it again after a failure goes on where it stopped. It ends with a registry file, which
    node and keepers read.

    \b
    On a chain of your own:
      ape run deploy --network hyperliquid:testnet:http://127.0.0.1:8545
    On HyperEVM's testnet:
      ape run deploy --network hyperliquid:testnet --account ALIAS --roles roles.json
    A rehearsal, on a chain that ends with the command and leaves no registry:
      ape run deploy --network ethereum:local:foundry
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
