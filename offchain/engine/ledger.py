"""Who owns what, per account and token: settled, pending, held, leaving. The only place that changes them.

Invariant, per token: the `settled` of all accounts and the locked collateral sum to deposits - withdrawals + minted -
burned, and the `pending` of all accounts sum to what undecided fills with AMM pairs take, negative.
`settled` moves only by final chain logs, `pending` only by fills.
It deliberately knows no orders: what a hold is for, and which order goes when a balance does not cover it, is decided
elsewhere.
"""

from offchain.domain.units import Address


class Balance:
    """Atoms of one token of one account, or of one of its sub-accounts.

    Kept are not `held` and `pending`, but sums that an order compares and a match changes least: an order may hold what
    `funds` exceed `taken` by; a match turns held into owed, and adds what it brings to the other side's funds.
    """

    __slots__ = (
        "account",
        "funds",
        "is_touched",
        "is_uncovered",
        "leaving",
        "owed",
        "requested",
        "settled",
        "subaccount",
        "taken",
        "token",
    )

    def __init__(self, account: Address, token: Address, subaccount: int = 0) -> None:
        self.account = account
        self.token = token
        self.subaccount = subaccount
        self.settled = 0
        self.funds = 0
        """settled + what unsettled fills bring - leaving."""
        self.taken = 0
        """held + owed; above `funds` the balance is not covered."""
        self.owed = 0
        """What unsettled fills take from this balance."""
        self.leaving = 0
        """Open withdrawal request plus countersignatures that are neither used nor lapsed."""
        self.requested = 0
        """The part of `leaving` that is the withdrawal request."""
        self.is_uncovered = False
        """As last announced."""
        self.is_touched = False

    @property
    def held(self) -> int:
        """By open orders."""
        return self.taken - self.owed

    @property
    def pending(self) -> int:
        """What unsettled fills bring, less what they take."""
        return self.funds + self.leaving - self.settled - self.owed

    @property
    def free(self) -> int:
        return self.settled + self.pending - self.held

    @property
    def cover(self) -> int:
        """What new holds may take; negative: orders and promises exceed what is there."""
        return self.funds - self.taken

    @property
    def tradable(self) -> int:
        return max(0, self.cover)

    @property
    def withdrawable(self) -> int:
        """Never counts what has not settled yet.

        Not even against what is owed: fills settle in order, and an early one needs its money before a later one
        brings some. Netting the two would let a debit be hidden behind a later credit, and the fill fail.
        """
        return max(0, self.settled - self.taken - self.leaving)

    def as_tuple(self) -> tuple[int, int, int, int]:
        """settled, pending, held, leaving."""
        return self.settled, self.pending, self.held, self.leaving

    @property
    def is_empty(self) -> bool:
        return not (self.settled or self.funds or self.owed or self.taken or self.leaving)


class Flow:
    """What ever came into the Vault and left it, of one token, and what is locked in it. Twin: `struct Totals`."""

    __slots__ = ("burned", "deposits", "locked", "minted", "withdrawals")

    def __init__(self) -> None:
        self.deposits = 0
        self.withdrawals = 0
        self.minted = 0
        self.burned = 0
        self.locked = 0

    @property
    def net(self) -> int:
        """What the balances of all accounts and the locked collateral sum to."""
        return self.deposits - self.withdrawals + self.minted - self.burned


class Legs:
    """The money of one fill: whose balances, and how much. The buyer pays, the seller receives, the rest is the fee."""

    __slots__ = (
        "base_atoms",
        "buyer_base",
        "buyer_quote",
        "fee",
        "fees",
        "paid",
        "received",
        "seller_base",
        "seller_quote",
    )

    def __init__(
        self,
        buyer_quote: Balance,
        buyer_base: Balance,
        seller_quote: Balance,
        seller_base: Balance,
        fees: Balance,
        base_atoms: int,
        paid: int,
        received: int,
    ) -> None:
        self.buyer_quote = buyer_quote
        self.buyer_base = buyer_base
        self.seller_quote = seller_quote
        self.seller_base = seller_base
        self.fees = fees
        self.base_atoms = base_atoms
        self.paid = paid
        self.received = received
        self.fee = paid - received

    @property
    def balances(self) -> tuple[Balance, ...]:
        """All that it may change."""
        return self.buyer_quote, self.buyer_base, self.seller_quote, self.seller_base, self.fees


class AmmLegs:
    """The money of one fill with an AMM pair, which is no account: the taker's two balances, and the fee."""

    __slots__ = ("base", "base_atoms", "fee", "fees", "is_buy", "quote", "quote_units")

    def __init__(
        self, quote: Balance, base: Balance, fees: Balance, is_buy: bool, base_atoms: int, quote_units: int, fee: int
    ) -> None:
        self.quote = quote
        self.base = base
        self.fees = fees
        self.is_buy = is_buy
        self.base_atoms = base_atoms
        self.quote_units = quote_units
        """Before the fee, which the taker pays in either direction."""
        self.fee = fee

    @property
    def balances(self) -> tuple[Balance, ...]:
        """All that it may change."""
        return self.quote, self.base, self.fees

    @property
    def quote_change(self) -> int:
        """Of the taker, with the fee."""
        return (-self.quote_units if self.is_buy else self.quote_units) - self.fee

    @property
    def base_change(self) -> int:
        return self.base_atoms if self.is_buy else -self.base_atoms

    @property
    def given(self) -> tuple[Address, int]:
        """Token and amount that go to the pair."""
        return (self.quote.token, self.quote_units) if self.is_buy else (self.base.token, self.base_atoms)

    @property
    def promised(self) -> int:
        """Least that must come back: base atoms of a buy, quote units of a sale."""
        return self.base_atoms if self.is_buy else self.quote_units

    @property
    def bought(self) -> Balance:
        """Where what comes back goes."""
        return self.base if self.is_buy else self.quote


class Ledger:
    """Changes balances and remembers which ones the running command touched, in the order of the first touch."""

    __slots__ = ("balances", "flows", "parts", "touched")

    def __init__(self) -> None:
        self.balances: dict[tuple[Address, Address], Balance] = {}
        """By (account, token): those of sub-accounts 0, which is all of nearly every account."""
        self.parts: dict[tuple[Address, Address], dict[int, Balance]] = {}
        """Those of the others; see `parts`."""
        self.flows: dict[Address, Flow] = {}
        self.touched: list[Balance] = []

    def touch(self, balance: Balance) -> None:
        if not balance.is_touched:
            balance.is_touched = True
            self.touched.append(balance)

    def of(self, account: Address, token: Address) -> Balance:
        """The balance, opened empty if it is new."""
        balance = self.balances.get((account, token))
        if balance is None:
            balance = self.balances[account, token] = Balance(account, token)
        return balance

    def find(self, account: Address, token: Address) -> Balance | None:
        return self.balances.get((account, token))

    def flow(self, token: Address) -> Flow:
        flow = self.flows.get(token)
        if flow is None:
            flow = self.flows[token] = Flow()
        return flow

    def totals(self, token: Address) -> tuple[int, int]:
        """(settled, pending) of all accounts: `flow(token).net - locked`, and 0 but for what goes to AMM pairs."""
        of_parts = (part for parts in self.parts.values() for part in parts.values())
        balances = [balance for balance in (*self.balances.values(), *of_parts) if balance.token == token]
        return sum(balance.settled for balance in balances), sum(balance.pending for balance in balances)

    # --- fills of two orders; `matching` moves their money from hold to pending ---

    def settle(self, legs: Legs) -> None:
        """The chain moved the legs: pending becomes settled."""
        self._release(legs.buyer_quote, legs.paid)
        self._release(legs.seller_base, legs.base_atoms)
        self.debit(legs.buyer_quote, legs.paid)
        legs.buyer_base.settled += legs.base_atoms
        legs.seller_quote.settled += legs.received
        self.debit(legs.seller_base, legs.base_atoms)
        legs.fees.settled += legs.fee
        for balance in legs.balances:
            self.touch(balance)

    def reverse(self, legs: Legs) -> None:
        """The chain refused the fill: both legs are gone."""
        self._release(legs.buyer_quote, legs.paid)
        self._release(legs.seller_base, legs.base_atoms)
        legs.buyer_base.funds -= legs.base_atoms
        legs.seller_quote.funds -= legs.received
        legs.fees.funds -= legs.fee
        for balance in legs.balances:
            self.touch(balance)

    @staticmethod
    def _release(balance: Balance, atoms: int) -> None:
        """What a fill was to take is not owed any more."""
        balance.owed -= atoms
        balance.taken -= atoms
        assert balance.owed >= 0

    # --- fills with an AMM pair ---

    def match_amm(self, legs: AmmLegs, released: int) -> None:
        """As `match`; `released` is the whole hold of the order."""
        paying = legs.quote if legs.is_buy else legs.base
        paying.taken -= released
        assert paying.taken >= paying.owed
        self._pend_amm(legs, 1)

    def settle_amm(self, legs: AmmLegs, came: int) -> int:
        """The pair was given what was agreed and gave `came`; returns what it gave beyond the promise."""
        self._pend_amm(legs, -1)
        legs.quote.settled += legs.quote_change
        legs.quote.funds += legs.quote_change
        legs.base.settled += legs.base_change
        legs.base.funds += legs.base_change
        legs.fees.settled += legs.fee
        legs.fees.funds += legs.fee
        for balance in (legs.quote, legs.base, legs.fees):
            self.touch(balance)
        surplus = came - legs.promised
        assert surplus >= 0
        legs.bought.settled += surplus
        legs.bought.funds += surplus
        token, given = legs.given
        self.flow(token).withdrawals += given
        self.flow(legs.bought.token).deposits += came
        return surplus

    def reverse_amm(self, legs: AmmLegs) -> None:
        self._pend_amm(legs, -1)

    def _pend_amm(self, legs: AmmLegs, sign: int) -> None:
        """Only what the taker gives. What a pair is to bring covers nothing before it is there: anyone may move the
        pair, and whoever sold its promise on would choose afterwards whether his buyer gets anything."""
        paying, change = (legs.quote, legs.quote_change) if legs.is_buy else (legs.base, legs.base_change)
        paying.taken -= sign * change
        paying.owed -= sign * change
        self.touch(paying)

    # --- the chain outside settlement; a settled balance below 0 is for the caller to see ---

    def credit(self, balance: Balance, atoms: int) -> None:
        balance.settled += atoms
        balance.funds += atoms
        self.touch(balance)

    def debit(self, balance: Balance, atoms: int) -> None:
        balance.settled -= atoms
        balance.funds -= atoms
        self.touch(balance)

    def request(self, balance: Balance, atoms: int) -> None:
        """Sets the open withdrawal request to `atoms`; 0 closes it."""
        balance.funds -= atoms - balance.requested
        balance.leaving += atoms - balance.requested
        balance.requested = atoms
        self.touch(balance)

    def promise(self, balance: Balance, atoms: int) -> None:
        """A countersigned debit: out of reach for orders until it is used or lapses."""
        balance.funds -= atoms
        balance.leaving += atoms
        self.touch(balance)

    def unpromise(self, balance: Balance, atoms: int) -> None:
        balance.funds += atoms
        balance.leaving -= atoms
        assert balance.leaving >= balance.requested
        self.touch(balance)
