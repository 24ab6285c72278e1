"""Trades with the AMM's pools from a wallet: which pools there are, what they quote, and the router's calls.

Invariant: nothing is sent without a bound on what it costs or brings, and a deadline by the chain's clock. An allowance
is never wider than the amount of its trade. Deliberately no choice between pool and book: that is `offchain.router`.
"""

from typing import Any, NamedTuple

from eth_abi.abi import encode

from offchain.chain.abi import Function
from offchain.chain.contracts import AmmFactory, AmmPair, AmmRouter, Token
from offchain.chain.registry import Registry
from offchain.chain.replies import MalformedReply
from offchain.chain.synths import all_synths, find_synth
from offchain.chain.wallet import Endpoint, Wallet
from offchain.domain.eip712 import digest
from offchain.domain.errors import InvalidInput, TransactionFailed
from offchain.domain.keccak import keccak
from offchain.domain.market import format_atoms
from offchain.domain.units import QUOTE_DECIMALS, SYNTH_DECIMALS, ZERO_ADDRESS, Address, from_hex

PPM = 1_000_000
NO_PERMIT = (0, 0, 0, bytes(32), bytes(32))
PERMIT_SECONDS = 600
"""Longer than any trade that is waited for; a permit lapses soon after."""

_PERMIT_TYPE = keccak(b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)")
_TRANSFER = "0x" + keccak(b"Transfer(address,address,uint256)").hex()


class Coin(NamedTuple):
    """A token that the pools trade."""

    symbol: str
    address: Address
    decimals: int

    def text(self, atoms: int) -> str:
        return format_atoms(atoms, self.decimals)


class Pool(NamedTuple):
    """As of the latest block; amounts in atoms."""

    base: Coin
    pair: Address
    base_reserve: int
    quote_reserve: int
    supply: int

    @property
    def price(self) -> str:
        """USDC per whole synth, rounded down; "" for an empty pool."""
        if not self.base_reserve:
            return ""
        return format_atoms(self.quote_reserve * 10**SYNTH_DECIMALS // self.base_reserve, QUOTE_DECIMALS)


class Trade(NamedTuple):
    """A swap as quoted or as done; amounts in atoms."""

    coin_in: Coin
    coin_out: Coin
    amount_in: int
    amount_out: int


def at_least(quoted: int, slippage_ppm: int) -> int:
    """The least to accept, rounded up."""
    return -(-quoted * (PPM - slippage_ppm) // PPM)


def at_most(quoted: int, slippage_ppm: int) -> int:
    """The most to pay, rounded down."""
    return quoted * (PPM + slippage_ppm) // PPM


class Pools:
    """What anyone can see, without a key."""

    def __init__(self, endpoint: Endpoint, registry: Registry) -> None:
        self.endpoint = endpoint
        self.factory = registry.address("AmmFactory")
        self._registry = registry

    @property
    def router(self) -> Address:
        return self._registry.address("AmmRouter")

    @property
    def quote(self) -> Coin:
        return Coin("USDC", self._registry.quote_token, QUOTE_DECIMALS)

    def coin(self, symbol: str) -> Coin:
        """USDC, or a synth by its symbol; `InvalidInput` if there is none."""
        if symbol.upper() == "USDC":
            return self.quote
        return Coin(symbol, find_synth(self.endpoint, self._registry, symbol), SYNTH_DECIMALS)

    def pool(self, symbol: str) -> Pool:
        """The pool of a synth; `InvalidInput` if it has none."""
        base = self.coin(symbol)
        (pair,) = self.endpoint.call(self.factory, AmmFactory.pair_of, base.address)
        if pair == ZERO_ADDRESS:
            raise InvalidInput(
                f"{symbol} has no pool", field="synth", remedy=f"Anyone may open it: hooats amm create {symbol}"
            )
        return self._look(base, Address(str(pair).lower()))

    def all(self) -> tuple[Pool, ...]:
        (count,) = self.endpoint.call(self.factory, AmmFactory.pair_count)
        return tuple(self._at(index) for index in range(count))

    def quoted(self, sold: str, bought: str, *, amount_in: int = 0, amount_out: int = 0) -> Trade:
        """What the router would do now with an exact input, or for an exact output."""
        coin_in, coin_out = self.coin(sold), self.coin(bought)
        if coin_in == coin_out:
            raise InvalidInput(f"{sold} for {bought} is no trade", remedy="Name two tokens")
        for coin in (coin_in, coin_out):
            if coin != self.quote and not self.pool(coin.symbol).supply:
                raise InvalidInput(
                    f"the pool of {coin.symbol} is empty",
                    field="synth",
                    remedy=f"Nothing trades until somebody adds to it: hooats amm add {coin.symbol}",
                )
        ends = coin_in.address, coin_out.address
        if amount_out:
            (amount_in,) = self.endpoint.call(self.router, AmmRouter.quote_exact_out, *ends, amount_out)
        else:
            (amount_out,) = self.endpoint.call(self.router, AmmRouter.quote_exact_in, *ends, amount_in)
        return Trade(coin_in, coin_out, amount_in, amount_out)

    def _at(self, index: int) -> Pool:
        (pair,) = self.endpoint.call(self.factory, AmmFactory.pair_at, index)
        (base,) = self.endpoint.call(pair, AmmPair.base)
        (symbol,) = self.endpoint.call(base, Token.symbol)
        return self._look(Coin(symbol, Address(str(base).lower()), SYNTH_DECIMALS), Address(str(pair).lower()))

    def _look(self, base: Coin, pair: Address) -> Pool:
        base_reserve, quote_reserve, _ = self.endpoint.call(pair, AmmPair.reserves)
        (supply,) = self.endpoint.call(pair, Token.total_supply)
        return Pool(base, pair, base_reserve, quote_reserve, supply)


def all_coins(endpoint: Endpoint, registry: Registry) -> tuple[Coin, ...]:
    """USDC, and every synth that trades."""
    synths = all_synths(endpoint.call, registry).items()
    return (
        Coin("USDC", registry.quote_token, QUOTE_DECIMALS),
        *(Coin(symbol, address, SYNTH_DECIMALS) for symbol, address in synths),
    )


class PoolTrader:
    """One wallet at the router. `seconds` of every call is how long it may wait to be mined."""

    def __init__(self, pools: Pools, wallet: Wallet) -> None:
        self.pools, self.wallet = pools, wallet

    def swap_in(self, quoted: Trade, minimum: int, to: Address, seconds: int) -> tuple[str, Trade]:
        """Sells exactly the quoted input. Returns (transaction, what moved)."""
        return self._swap(AmmRouter.swap_exact_in, quoted, quoted.amount_in, (quoted.amount_in, minimum), to, seconds)

    def swap_out(self, quoted: Trade, maximum: int, to: Address, seconds: int) -> tuple[str, Trade]:
        """Buys exactly the quoted output. Returns (transaction, what moved)."""
        return self._swap(AmmRouter.swap_exact_out, quoted, maximum, (quoted.amount_out, maximum), to, seconds)

    def _swap(
        self, function: Function, quoted: Trade, most: int, bounds: tuple[int, int], to: Address, seconds: int
    ) -> tuple[str, Trade]:
        coin_in, coin_out = quoted.coin_in, quoted.coin_out
        self._require(coin_in, quoted.amount_in)
        permit = self._permit(coin_in.address, most)
        ends = coin_in.address, coin_out.address
        done = self.wallet.transact(self.pools.router, function, *ends, *bounds, to, self._deadline(seconds), permit)
        paid = -self._moved(done.transaction, coin_in.address, self.wallet.address)
        got = self._moved(done.transaction, coin_out.address, to)
        return done.transaction, quoted._replace(amount_in=paid, amount_out=got)

    def add(self, pool: Pool, base: int, quote: int, slippage_ppm: int, seconds: int) -> tuple[str, int, int, int]:
        """At most these, at the pool's price: (transaction, base, quote, shares)."""
        fit_base, fit_quote = _at_price(pool, base, quote)
        for coin, atoms in ((pool.base, fit_base), (self.pools.quote, fit_quote)):
            self._require(coin, atoms)
        # What is taken follows the price when it is mined: up to all of what was offered.
        self._approve(pool.base.address, base)
        self._approve(self.pools.quote.address, quote)
        least = at_least(fit_base, slippage_ppm), at_least(fit_quote, slippage_ppm)
        wanted = pool.base.address, base, quote, *least, self.wallet.address, self._deadline(seconds)
        done = self.wallet.transact(self.pools.router, AmmRouter.add_liquidity, *wanted).transaction
        owner = self.wallet.address
        moved = [self._moved(done, token, owner) for token in (pool.base.address, self.pools.quote.address, pool.pair)]
        return done, -moved[0], -moved[1], moved[2]

    def remove(self, pool: Pool, shares: int, slippage_ppm: int, seconds: int) -> tuple[str, int, int]:
        """(transaction, base, quote); `InvalidInput` for more shares than there are."""
        self._require(Coin(f"{pool.base.symbol}-LP", pool.pair, SYNTH_DECIMALS), shares)
        least = [
            at_least(reserve * shares // pool.supply, slippage_ppm)
            for reserve in (pool.base_reserve, pool.quote_reserve)
        ]
        permit, owner = self._permit(pool.pair, shares), self.wallet.address
        wanted = pool.base.address, shares, *least, owner, self._deadline(seconds), permit
        done = self.wallet.transact(self.pools.router, AmmRouter.remove_liquidity, *wanted).transaction
        return done, self._moved(done, pool.base.address, owner), self._moved(done, self.pools.quote.address, owner)

    def create(self, base: Coin) -> str:
        """Opens the pool of a synth; returns the transaction."""
        return self.wallet.transact(self.pools.factory, AmmFactory.create_pair, base.address).transaction

    def shares_of(self, pool: Pool) -> int:
        (shares,) = self.wallet.call(pool.pair, Token.balance_of, self.wallet.address)
        return int(shares)

    def _require(self, coin: Coin, atoms: int) -> None:
        (held,) = self.wallet.call(coin.address, Token.balance_of, self.wallet.address)
        if held < atoms:
            raise InvalidInput(
                f"your wallet holds {coin.text(held)} {coin.symbol}, not {coin.text(atoms)}",
                remedy="The pools trade with wallets: hooats withdraw brings money there from the Vault",
            )

    def _now(self) -> int:
        return int(self.wallet.endpoint.ask("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def _deadline(self, seconds: int) -> int:
        return self._now() + seconds

    def _allowance(self, token: Address) -> int:
        (allowance,) = self.wallet.call(token, Token.allowance, self.wallet.address, self.pools.router)
        return int(allowance)

    def _approve(self, token: Address, atoms: int) -> None:
        if self._allowance(token) < atoms:
            self.wallet.transact(token, Token.approve, self.pools.router, atoms)

    def _permit(self, token: Address, atoms: int) -> tuple[object, ...]:
        """A signature in place of an approval; an approval where the token knows no permits."""
        if self._allowance(token) >= atoms:
            return NO_PERMIT
        try:
            (nonce,) = self.wallet.call(token, Token.nonces, self.wallet.address)
            (separator,) = self.wallet.call(token, Token.domain_separator)
        except (TransactionFailed, MalformedReply):
            self._approve(token, atoms)
            return NO_PERMIT
        deadline = self._now() + PERMIT_SECONDS
        terms = self.wallet.address, self.pools.router, atoms, nonce, deadline
        words = encode(["bytes32", "address", "address", "uint256", "uint256", "uint256"], [_PERMIT_TYPE, *terms])
        return atoms, deadline, *self.wallet.sign_digest(digest(separator, keccak(words)))

    def _moved(self, transaction: str, token: Address, owner: Address) -> int:
        """What the transaction brought `owner`, less what it took, by the token's own log."""
        receipt = self.wallet.endpoint.ask("eth_getTransactionReceipt", transaction)
        return sum(_transferred(log, owner) for log in receipt["logs"] if log["address"].lower() == token)


def _transferred(log: Any, owner: Address) -> int:
    topics = log["topics"]
    if topics[0] != _TRANSFER:
        return 0
    sender, receiver = (Address("0x" + topic[-40:].lower()) for topic in topics[1:3])
    atoms = int.from_bytes(from_hex(log["data"]))
    return atoms * ((receiver == owner) - (sender == owner))


def _at_price(pool: Pool, base: int, quote: int) -> tuple[int, int]:
    """As the router fits it: the most of both that keeps the price. Twin: `AmmRouter._atPoolPrice`."""
    if pool.supply == 0:
        return base, quote
    fit = base * pool.quote_reserve // pool.base_reserve
    if fit <= quote:
        return base, fit
    return quote * pool.base_reserve // pool.quote_reserve, quote
