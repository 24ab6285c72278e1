"""One deployment from start to end: preflight, creations, calls, registry, table.

Invariant: nothing is sent before the preflight has passed; the registry is written after every contract. Everything
that can be decided without a chain is in `_deployment.py`; what a chain is, in `_chain.py`.
"""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import click

from offchain.domain.errors import ConfigurationError
from offchain.domain.units import Address
from scripts._accounts import Signer, find_signer
from scripts._artifacts import load_artifacts
from scripts._blocks import choose_blocks, room_for
from scripts._chain import REMOTE_PAUSE_SECONDS, Chain, Mined, Sender, install_factory, permit_domain
from scripts._create2 import CODE_BYTES_MAX, FACTORY, FACTORY_COST, FACTORY_SIGNER, FACTORY_TRANSACTION
from scripts._deployment import ARTIFACTS, Creation, Plan, factory_of, make_plan
from scripts._listings import Clone
from scripts._parameters import SEPARATE, Parameters, load
from scripts._recording import Recorder
from scripts._registry import RegistryFile, commit_of
from scripts._roles import DEPLOYER
from scripts._steps import Step

WEI: Final = 10**18
STEP_GAS: Final = 300_000
"""More than any call of the plan needs; only for the balance that the preflight asks for."""
TESTNET: Final = 998
LIVE_CHAINS: Final = (TESTNET, 999)
VENUE_ACCOUNTS: Final = ("feeAccount", "treasuryAccount", "insuranceAccount")
SYNTH, PAIR = "SynthERC20:", "AmmPair:"
"""Names of the registry that more may come of: markets are listed later too."""


class Options(NamedTuple):
    """The flags of `ape run deploy`."""

    account: str | None
    key_file: Path | None
    password_file: Path | None
    parameters_file: Path | None
    roles_file: Path | None
    registry_file: Path | None
    predict: bool
    replace: bool
    install_factory: bool
    big_blocks: bool
    no_handover: bool
    overrides: dict[str, str]


def run(provider: Any, options: Options, root: Path) -> None:
    """The command. `provider` is ape's connection."""
    chain = Chain(provider.web3, pause_for(getattr(provider, "uri", None)))
    parameters = load(parameters_path(options, chain, root), options.overrides, options.roles_file)
    signer = find_signer(options.account, options.key_file, options.password_file, chain.is_development)
    plan = make_plan(parameters, load_artifacts(root, ARTIFACTS), signer.address)
    if options.predict:
        print_table(plan, {}, chain)
        return
    check_live(chain, parameters, signer)
    is_passing = ends_with_command(provider)
    with ExitStack() as stack:
        path = registry_path(options.registry_file, chain, root)
        if is_passing and options.registry_file is None:
            path = Path(stack.enter_context(TemporaryDirectory())) / path.name
        registry = RegistryFile(path, chain.id)
        stack.enter_context(registry.lock())
        is_changed = Deployment(chain, signer, plan, registry, options, commit_of(root)).run(parameters)
    if is_passing:
        kept = f"{options.registry_file} describes what is gone" if options.registry_file else "no registry is kept"
        click.echo(f"this was a rehearsal: chain {chain.id} ends with this command, and {kept}. Name one that stays:")
        click.echo("  ape run deploy --network hyperliquid:testnet:http://127.0.0.1:8545")
    elif is_changed:
        click.echo(f"registry {path}")


def ends_with_command(provider: Any) -> bool:
    """True for the chain inside ape, and for a node that ape has started."""
    return type(provider).__module__.startswith("ape_test") or getattr(provider, "process", None) is not None


def parameters_path(options: Options, chain: Chain, root: Path) -> Path:
    if options.parameters_file is not None:
        return options.parameters_file
    path = root / "deployment" / ("local.yaml" if chain.is_development else f"{chain.id}.yaml")
    if not path.exists():
        raise ConfigurationError(f"there is no {path.relative_to(root)}", remedy="Name a file with --parameters")
    return path


def check_live(chain: Chain, parameters: Parameters, signer: Signer) -> None:
    """What only matters where money is real, or looks real."""
    if chain.is_development:
        return
    if not parameters.quote_token and chain.id != TESTNET:
        raise ConfigurationError(
            f"a test USDC is not for chain {chain.id}", remedy="Name the settlement token: --quote-token"
        )
    same = [role for role in (*SEPARATE, *parameters.more_posters) if parameters.role(role) == signer.address]
    if same:
        remedy = "Deploy from a key of its own: big blocks are an account's setting"
        raise ConfigurationError(f"the deployer is also {same[0]}", remedy=remedy)


def registry_path(registry_file: Path | None, chain: Chain, root: Path) -> Path:
    """A development chain that bears the id of a live one never writes over the live one's registry."""
    if registry_file is not None:
        return registry_file
    is_double = chain.is_development and chain.id in LIVE_CHAINS
    return root / "deployments" / (f"local-{chain.id}.json" if is_double else f"{chain.id}.json")


def pause_for(uri: object) -> float:
    """Seconds between requests: none to a node on this machine."""
    text = str(uri or "")
    is_here = not text.startswith("http") or any(host in text for host in ("//127.", "//localhost", "//[::1]"))
    return 0.0 if is_here else REMOTE_PAUSE_SECONDS


class Deployment:
    """The moving parts of one run."""

    def __init__(
        self, chain: Chain, signer: Signer, plan: Plan, registry: RegistryFile, options: Options, commit: str
    ) -> None:
        self._chain = chain
        self._signer = signer
        self._plan = plan
        self._registry = registry
        self._options = options
        self._recorder = Recorder(chain, registry, commit)
        self._gas: dict[str, int] = {}
        self._missing: set[str] = set()
        self._large: set[str] = set()
        self._limit = 0

    def run(self, parameters: Parameters) -> bool:
        """Preflight, then everything that is not done; False if nothing was sent."""
        factory = factory_of(parameters)
        nonce = self._chain.nonce(self._signer.address)
        self._check_registry()
        self._look_around()
        big_blocks = self._choose_blocks()
        sender = Sender(self._chain, self._signer, nonce, big_blocks)
        self._check_quote_token()
        self._check_balance(sender, big_blocks)
        self._check_factory(factory, sender)
        for creations in self._plan.creations:
            with room_for(self._chain, any(creation.name in self._large for creation in creations), self._limit):
                for creation in creations:
                    self._create(creation, factory, sender)
                sender.settle()
        for steps in self._plan.steps:
            self._perform(steps, sender)
        if not self._options.no_handover:
            for steps in self._plan.last_steps:
                self._perform(steps, sender)
        self._finish(sender, parameters)
        return sender.sent > 0

    # --- preflight ---

    def _check_registry(self) -> None:
        """The registry is of this chain and of this plan, or there is none."""
        path = self._registry.path
        recorded = {name: self._registry.address(name) for name in self._registry.names()}
        gone = [name for name, address in recorded.items() if address and not self._chain.code(address)]
        if gone and not self._chain.is_development:
            remedy = "It describes another chain: name another --registry"
            raise ConfigurationError(f"{path} names {gone[0]} where no code is", remedy=remedy)
        if gone or self._options.replace:
            self._registry.forget()
            return
        planned = self._plan.addresses
        for name, address in recorded.items():
            is_later = name not in planned and name.startswith((SYNTH, PAIR))
            if planned.get(name) != address and not is_later:
                raise ConfigurationError(
                    f"{path} names {name} at {address}, and this would be {planned.get(name, 'none')}",
                    remedy="Deployer, parameters or sources differ: name another --registry, or --replace",
                )

    def _look_around(self) -> None:
        self._limit = int(self._chain.block()["gasLimit"])
        for creation in self._plan.contracts:
            if not self._chain.code(creation.address):
                self._missing.add(creation.name)
                if creation.gas_floor > self._limit:
                    self._large.add(creation.name)
            size = creation.artifact.runtime_bytes
            if size > CODE_BYTES_MAX:
                raise ConfigurationError(f"{creation.name} has {size:,} bytes, more than {CODE_BYTES_MAX:,}")

    def _choose_blocks(self) -> bool:
        """True if the deployer's transactions go to big blocks. Large contracts need them, except where a development
        chain can be told to make one."""
        large = self._large_contracts()
        return self._options.big_blocks or choose_blocks(self._chain, self._signer.address, large, self._limit)

    def _large_contracts(self) -> str:
        large = (creation for creation in self._plan.contracts if creation.name in self._large)
        return ", ".join(f"{creation.name} (over {creation.gas_floor:,})" for creation in large)

    def _check_balance(self, sender: Sender, big_blocks: bool) -> None:
        """Says what the deployment meets on this chain, and requires what it will cost at most."""
        steps = sum(len(wave) for wave in (*self._plan.steps, *self._plan.last_steps)) if self._missing else 0
        creations = sum(creation.gas_floor for creation in self._plan.contracts if creation.name in self._missing)
        need = (creations * 11 // 10 + steps * STEP_GAS) * sender.terms()[0]
        have = self._chain.balance(sender.address)
        blocks = "big blocks" if big_blocks else f"blocks of {self._limit:,} gas"
        funds = f"deployer {sender.address} has {have / WEI:.6g}, needs at most {need / WEI:.6g}"
        if have < need:
            raise ConfigurationError(f"not enough to pay with: {funds}", remedy="Fund it")
        click.echo(f"chain {self._chain.id}, {blocks}; {funds}")
        if self._large and not big_blocks:
            click.echo(f"larger than a block, so this development chain makes big ones: {self._large_contracts()}")

    def _check_factory(self, factory: Address, sender: Sender) -> None:
        if self._chain.code(factory):
            return
        if factory != FACTORY or not (self._options.install_factory or self._chain.is_development):
            remedy = "Name another one as factory in the parameters, or try --install-factory"
            raise ConfigurationError(f"chain {self._chain.id} has no CREATE2 factory at {factory}", remedy=remedy)
        install_factory(sender, FACTORY_SIGNER, FACTORY_COST, FACTORY_TRANSACTION)

    def _check_quote_token(self) -> None:
        token = self._plan.quote_token
        is_planned = any(creation.address == token for creation in self._plan.contracts)
        if not is_planned and not self._chain.code(token):
            raise ConfigurationError(f"no contract at quote token {token} on chain {self._chain.id}")

    # --- creations and calls ---

    def _create(self, creation: Creation, factory: Address, sender: Sender) -> None:
        if creation.name in self._missing:
            sender.send(
                creation.name,
                factory,
                creation.payload,
                done=partial(self._created, creation),
                signed=self._recorder.expecting(creation),
            )
        elif not self._recorder.is_recorded(creation):
            self._recorder.record_found(creation, factory)

    def _created(self, creation: Creation, mined: Mined) -> None:
        self._gas[creation.name] = mined.gas
        click.echo(f"  {creation.name:<65}{mined.gas:>12,} gas  block {mined.block}")
        self._recorder.record(creation, mined)

    def _perform(self, steps: list[Step], sender: Sender) -> None:
        allowed: set[Address] = set()
        clones = {(clone.target, clone.payload): clone for clone in self._plan.clones}
        for step in steps:
            clone = clones.get((step.target, step.payload))
            if not step.is_done(self._chain.call):
                if step.target not in allowed and not step.is_allowed(self._chain.call):
                    remedy = "It was handed over: propose the call to the timelock, or deploy another `version`"
                    raise ConfigurationError(f"{step.label}: the deployer is not the contract's admin", remedy=remedy)
                allowed.add(step.target)
                sender.send(
                    step.label,
                    step.target,
                    step.payload,
                    done=partial(self._performed, step, clone),
                    signed=self._recorder.expecting(clone) if clone else None,
                )
            elif clone is not None and not self._recorder.is_recorded(clone):
                self._recorder.record_found(clone, clone.target)
        sender.settle()

    def _performed(self, step: Step, clone: Clone | None, mined: Mined) -> None:
        click.echo(f"  {step.label:<65}{mined.gas:>12,} gas  block {mined.block}")
        if clone is not None:
            self._recorder.record(clone, mined)

    def _finish(self, sender: Sender, parameters: Parameters) -> None:
        order = list(self._plan.addresses)
        accounts = {name: parameters.role(name) for name in VENUE_ACCOUNTS}
        roles = parameters.role_addresses()
        keys = {name: who for name, who in roles.items() if name not in VENUE_ACCOUNTS} | {
            DEPLOYER: self._signer.address
        }
        factory = factory_of(parameters)
        permit = permit_domain(self._chain, self._plan.quote_token)
        is_new = self._registry.finish(
            order, self._plan.quote_token, self._plan.markets, accounts, keys, factory, permit
        )
        print_table(self._plan, self._gas, self._chain)
        if sender.sent:
            click.echo(f"{sender.sent} transactions, {sender.gas:,} gas")
        else:
            click.echo(
                "nothing to do"
                + (f", but {self._registry.path} lacked something and is complete now" if is_new else "")
            )


def print_table(plan: Plan, gas: dict[str, int], chain: Chain) -> None:
    """Names, addresses and, for what this run deployed, gas."""
    click.echo(f"{'contract':<24}{'address':<44}{'bytes':>7}{'gas':>12}")
    for creation in plan.contracts:
        used = f"{gas[creation.name]:,}" if creation.name in gas else "-"
        click.echo(f"{creation.name:<24}{creation.address:<44}{creation.artifact.runtime_bytes:>7,}{used:>12}")
    for clone in plan.clones:
        click.echo(f"{clone.name:<24}{clone.address:<44}{'clone':>7}{'-':>12}")
    click.echo(f"quote token {plan.quote_token} on chain {chain.id}")
