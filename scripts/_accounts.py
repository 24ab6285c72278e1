"""Who pays and signs: a key file, or an account of ape.

Invariant: no secret is printed, logged or kept in an attribute with a telling repr. A key file is never prompted for;
an alias of ape asks for its passphrase once, unless APE_ACCOUNTS_<alias>_PASSPHRASE is set. A test account (its key is
public) signs on development chains only.
"""

from pathlib import Path
from typing import Any, Protocol

from eth_account import Account

from offchain.domain.errors import ConfigurationError
from offchain.domain.units import Address
from offchain.security.keys import load_key


class Signer(Protocol):
    """Signs EIP-1559 transactions; `fields` as in eth_account."""

    address: Address

    def sign(self, fields: dict[str, Any]) -> bytes:
        """The raw transaction."""
        ...


class FileSigner:
    """A private key from a file."""

    def __init__(self, path: Path, password_file: Path | None) -> None:
        for what, file in (("key file", path), ("password file", password_file)):
            if file is not None:
                _check_readable(what, file)
        self._key = load_key(path, password_file)
        self.address = self._key.address

    def sign(self, fields: dict[str, Any]) -> bytes:
        return bytes(Account.sign_transaction(fields, self._key.secret).raw_transaction)


def _check_readable(what: str, path: Path) -> None:
    """`load_key` tells the name of a file alone; here it is said where it was looked for."""
    try:
        path.open().close()
    except OSError as error:
        raise ConfigurationError(f"cannot read {what} {path}: {error.strerror or error}") from None


class ApeSigner:
    """An account of ape: imported, test, or from a plugin."""

    def __init__(self, account: Any, ecosystem: Any) -> None:
        self._account = account
        self._ecosystem = ecosystem
        self.address = Address(str(account.address).lower())

    def sign(self, fields: dict[str, Any]) -> bytes:
        renamed = {"gas_limit" if name == "gas" else name: value for name, value in fields.items()}
        signed = self._account.sign_transaction(self._ecosystem.create_transaction(**renamed, sender=self.address))
        if signed is None:
            raise ConfigurationError(f"account {self._account.alias} did not sign")
        return bytes(signed.serialize_transaction())


def find_signer(
    account: str | None,
    key_file: Path | None,
    password_file: Path | None,
    is_development: bool,
    role: str = "deployer",
) -> Signer:
    """The signer that the flags name; for the deployer on a development chain, ape's first test account when they name
    none."""
    if account and key_file:
        raise ConfigurationError("both an account and a key file are named", remedy="Name one of them")
    if key_file is not None:
        return FileSigner(key_file, password_file)
    if not account:
        if not is_development or role != "deployer":
            remedy = f"Name one with --account ALIAS, --key-file FILE or HOOATS_{role.upper()}_KEY_FILE"
            raise ConfigurationError(f"no key of the {role}", remedy=remedy)
        account = "TEST::0"
    return ApeSigner(*_ape_account(account, is_development))


def _ape_account(alias: str, is_development: bool) -> tuple[Any, Any]:
    from ape import accounts, networks

    ecosystem = networks.provider.network.ecosystem
    if alias.startswith("TEST::"):
        if not is_development:
            raise ConfigurationError(f"the key of {alias} is public", remedy="Use an account of your own")
        return accounts.test_accounts[int(alias.removeprefix("TEST::"))], ecosystem
    if alias not in list(accounts.aliases):
        raise ConfigurationError(f"ape has no account {alias}", remedy="Import it with: ape accounts import ALIAS")
    account = accounts.load(alias)
    if hasattr(account, "set_autosign"):
        account.set_autosign(True)  # asks once, instead of forty times
    return account, ecosystem
