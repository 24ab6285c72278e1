"""`ape run upgrade`: the Vault's next implementation, through the timelock."""

from pathlib import Path
from typing import Any

import click

from scripts._command import PATH, ROOT, Command, Refusal, registry_option, signing_options


@click.command(cls=Command)
@signing_options("proposer")
@registry_option()
@click.option(
    "--propose",
    metavar="CONTRACT",
    is_flag=False,
    flag_value="Vault",
    help="Check the storage of CONTRACT (default: Vault, as it is in contracts/), create it and schedule the upgrade.",
)
@click.option("--dry-run", is_flag=True, help="With --propose: check and print it, and send nothing.")
@click.option("--execute", is_flag=True, help="Execute the upgrade that was scheduled, once its delay has passed.")
@click.option("--cancel", is_flag=True, help="Cancel it.")
@click.option("--operation", metavar="ID", help="Which one, if more than one is scheduled.")
@click.option(
    "--keep-layout",
    metavar="CONTRACT",
    is_flag=False,
    flag_value="Vault",
    help="Write deployment/layouts/Vault.json: the storage of CONTRACT (default: Vault), which is what runs.",
)
@click.option(
    "--deployer-key-file",
    type=PATH,
    envvar="HOOATS_DEPLOYER_KEY_FILE",
    help="Key that creates the implementation, in big blocks where it needs them. Default: the proposer's.",
)
@click.option(
    "--deployer-password-file",
    type=PATH,
    envvar="HOOATS_DEPLOYER_PASSWORD_FILE",
    help="File with its keystore's password.",
)
def cli(provider: Any, registry_file: Path | None, keep_layout: str | None, **options: Any) -> None:
    """Upgrade the Vault: propose, wait for the timelock, execute.

    The storage of the new contract is compared, member by member, with the kept layout of the one that runs: what is
    stored may not move, go or change its type. One upgrade is scheduled at a time, and it is executed over the
    implementation that it was compared with. The proposal is printed in words before anything is sent. Every step may
    be repeated: what is done is found on the chain.

    \b
      ape run upgrade --propose VaultTwo --dry-run --network hyperliquid:testnet
      ape run upgrade --propose VaultTwo --key-file proposer.json --network hyperliquid:testnet
      ape run upgrade --execute --key-file proposer.json --network hyperliquid:testnet
    """
    wanted = [name for name in ("propose", "execute", "cancel") if options[name]]
    if len(wanted) + bool(keep_layout) != 1:
        raise Refusal("name one of --propose, --execute, --cancel, --keep-layout. Try: ape run upgrade --help", 2)
    if keep_layout:
        from scripts._upgrade import keep_layout as keep

        click.echo(keep(ROOT, keep_layout))
        return
    _run(provider, registry_file, **options)


def _run(
    provider: Any,
    registry_file: Path | None,
    account: str | None,
    key_file: Path | None,
    password_file: Path | None,
    propose: str | None,
    dry_run: bool,
    execute: bool,
    cancel: bool,
    operation: str | None,
    deployer_key_file: Path | None,
    deployer_password_file: Path | None,
) -> None:
    from scripts._accounts import FileSigner, find_signer
    from scripts._registry import RegistryFile
    from scripts._upgrade import Upgrade
    from scripts._venue import open_venue

    venue = open_venue(provider, registry_file, ROOT)
    registry = RegistryFile(venue.path, venue.chain.id)
    upgrade = Upgrade(venue, registry, ROOT)
    proposal = upgrade.plan(propose) if propose else None
    if proposal is not None:
        upgrade.preview(proposal)
        if dry_run:
            return
    signer = find_signer(account, key_file, password_file, venue.chain.is_development, "proposer")
    with registry.lock():
        if proposal is not None:
            own = FileSigner(deployer_key_file, deployer_password_file) if deployer_key_file else signer
            upgrade.propose(proposal, signer, own)
        elif execute:
            upgrade.execute(upgrade.find(operation), signer)
        else:
            assert cancel
            upgrade.cancel(upgrade.find(operation), signer)
