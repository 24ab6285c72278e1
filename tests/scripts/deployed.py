"""A venue deployed from this process, for tests of what comes after a deployment."""

import sys
from pathlib import Path

from eth_account import Account
from web3 import HTTPProvider, Web3

sys.path.append(str(Path(__file__).resolve().parents[1]))

from local_chain import CHAIN_ID, ROOT, LocalChain, key_of

from offchain.chain.registry import load_registry
from scripts._accounts import FileSigner
from scripts._artifacts import load_artifacts
from scripts._chain import Chain
from scripts._deployment import ARTIFACTS, make_plan
from scripts._handover import perform, waves_of
from scripts._parameters import load
from scripts._registry import RegistryFile
from scripts._run import Deployment, Options
from scripts._venue import Venue

OPTIONS = Options(None, None, None, None, None, None, False, False, False, False, True, {})
MNEMONIC = "test test test test test test test test test test test junk"
PROPOSER, LISTER = 8, 9
"""Places of the keys of deployment/local.yaml in the mnemonic."""


class Stage:
    """A deployment without its last waves, on an anvil that mines at once; set back after every test."""

    def __init__(self, folder: Path) -> None:
        self.anvil = LocalChain().start()
        self.anvil.rpc("evm_setAutomine", True)
        key = folder / "deployer.key"
        key.write_text(key_of("deployer").hex())
        self.signer = FileSigner(key, None)
        self.anvil.fund(self.signer.address)
        self.path = folder / f"{CHAIN_ID}.json"
        chain = Chain(Web3(HTTPProvider(self.anvil.url)))
        parameters = load(ROOT / "deployment" / "local.yaml", {})
        plan = make_plan(parameters, load_artifacts(ROOT, ARTIFACTS), self.signer.address)
        registry = RegistryFile(self.path, chain.id)
        Deployment(chain, self.signer, plan, registry, OPTIONS, "unknown").run(parameters)

    def venue(self) -> Venue:
        return Venue(Chain(Web3(HTTPProvider(self.anvil.url))), load_registry(self.path, CHAIN_ID), self.path)

    def hand_over(self) -> Venue:
        venue = self.venue()
        perform(venue, self.signer, waves_of(venue, self.signer.address))
        return venue

    def as_contract(self, name: str, target: str, payload: bytes) -> None:
        """A call that only this contract may make."""
        venue = self.venue()
        sender = venue.contracts[name]
        self.anvil.fund(sender)
        self.anvil.do(sender, venue.contracts[target], payload)

    def signer_of(self, place: int) -> FileSigner:
        """One of the keys of deployment/local.yaml, with gas money."""
        Account.enable_unaudited_hdwallet_features()
        key = self.path.with_name(f"{place}.key")
        key.write_text(Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{place}").key.hex())
        signer = FileSigner(key, None)
        self.anvil.fund(signer.address)
        return signer
