"""A plain sentence for every custom error of the contracts: what happened, and what to do about it.

Invariant: every error of `contracts.ERRORS` has its sentence; a test compares the two.
"""

import time

from offchain.chain.contracts import ERRORS

SENTENCES: dict[str, str] = {
    "NotConsecutive": "the batch or epoch does not follow the last one on chain",
    "MalformedBatch": "the batch breaks a rule of its form",
    "UnknownMarket": "no market has this number",
    "Mismatched": "a fill joins two orders that do not fit together",
    "LimitCrossed": "a fill would trade at a worse price than an order allows",
    "Overfilled": "a fill would take an order beyond its size",
    "FeeAboveCap": "a fee is above what the order's owner signed",
    "MalformedOrder": "an order breaks a rule of its form",
    "MarketExists": "the market's number is taken",
    "MalformedMarket": "the market's units are not possible, or its symbol is longer than 31 bytes",
    "BrokenPromise": "the AMM pair gave less than was promised in the same transaction",
    "ForeignAmmFactory": "the AMM factory belongs to another Vault",
    "MalformedAgent": "an agent needs a key of its own, an expiry in the future, and no more than 64 markets",
    "AgentStillBinds": "this key is the account's agent still; revoke it and wait five minutes, or wait for its expiry",
    "NoAgent": "this key is no agent of the account, or was revoked already",
    "NotYours": "only the account and the agent itself can revoke an agent",
    "ZeroAmount": "the amount is zero; give one above zero",
    "ZeroAddress": "an address is zero; give a real one",
    "UnknownToken": "the Vault does not know this token; only USDC and registered synths",
    "InsufficientBalance": "the Vault account has less than that (account, token, what it has, what is needed)",
    "RequestPending": "a withdrawal of this token was requested already; complete or cancel it first",
    "NoRequest": "there is no withdrawal request for this token; request one first",
    "RequestNotMatured": "the withdrawal request is not 15 minutes old yet; try again after the time given",
    "RequestExceeded": "that is more than the matured withdrawal request covers (covered, wanted)",
    "InvalidSigner": "a signature was made by another key than it should be",
    "DeadlinePassed": "the deadline is over, it was the time given; ask for a new signature",
    "NonceUsed": "this withdrawal was executed already; sign another with a new nonce",
    "NotConvertible": "only USDC can be taken as CXPT",
    "InternalDestination": "the Vault cannot pay itself: a request to the Vault is for locking and burning only",
    "OutflowCapped": "instant withdrawals have reached their cap (token, wanted, left): take less, wait, or request",
    "NoShortfall": "the Vault holds all that it owes; there is no loss to declare",
    "Unbalanced": "the batch would create or destroy money of this token",
    "NotRegistrable": "this token cannot be registered as a synth of the Vault",
    "UpgradeDelayTooShort": "upgrades need a timelock of at least 24 hours",
    "IsPaused": "the contract is paused until the time given; exits and cancels still work",
    "PauseTooSoon": "the next pause is possible only after the time given",
    "WrongParent": "the epoch names another parent than the last one on chain",
    "WrongRange": "the epoch does not begin where the last one ended",
    "ZeroRoot": "an epoch without a root proves nothing",
    "MalformedTerms": "the synth's ratios or ceiling are outside their bounds",
    "NoTerms": "no terms are set for this synth; its lister has to set them first",
    "Undercollateralized": "the position would have too little collateral (what it has, what it needs): add some",
    "CollateralTooSmall": "a position needs at least the collateral given",
    "CeilingExceeded": "the synth's debt ceiling would be exceeded (ceiling, wanted): mint less",
    "StalePrice": "the synth's price is too old; wait until one is posted",
    "PriceResumed": "the price came back a moment ago; liquidation waits until the time given",
    "ExceedsPosition": "that is more than the position has",
    "NotLiquidatable": "the position has enough collateral, or the amount is above what may be liquidated",
    "NotUnderWater": "the position's collateral still covers its debt; liquidate instead of absorbing",
    "IsInsurance": "the insurance account's own position cannot be absorbed",
    "TooLittleCollateral": "the liquidation would bring less collateral than you asked for (brings, asked)",
    "IsShutDown": "the synth is shut down; positions are settled and the synth redeemed",
    "NotShutDown": "the synth is not shut down",
    "ShutDownTooSoon": "a synth is shut down only when it has had no price for 6 hours: after the time given",
    "PriceAvailable": "a price can be accepted now (`PriceOracle.accept`), so the synth lives on",
    "PriceNotFinal": "for an hour a price that returns replaces that of the shutdown: settle after the time given",
    "PriceFinal": "the price of the shutdown is final since the time given",
    "SymbolTaken": "another synth has this symbol already",
    "MalformedName": "a synth needs a name and a symbol of 1 to 31 bytes each",
    "UnknownSynth": "the factory has not created this token",
    "AdminMovesInTwoSteps": "the admin's role is offered and accepted, never granted, revoked or given up",
    "NotOffered": "the admin's role was not offered to this account",
    "NoDebt": "nobody owes this synth",
    "PositionsUnsettled": "redemption begins when every position is settled; this many are left",
    "NotRedeemable": "that is more than can be redeemed (left, wanted)",
    "UnknownFeed": "the oracle has no price feed for this synth",
    "MalformedFeed": "the feed's settings are outside their bounds",
    "PriceOutOfRange": "the price is zero or too big",
    "LengthMismatch": "two lists should be equally long",
    "TooManyPosters": "the oracle takes no more posters",
    "InsufficientGas": "the transaction carries too little gas to read all sources; send more",
    "PairExists": "this token has an AMM pair already, at the address given",
    "NotPoolable": "an AMM pair needs a synth of the Vault, and this token is none",
    "InsufficientLiquidity": "the AMM pair would hold too little; bring larger amounts",
    "InsufficientInput": "less came in than the AMM pair asks for that output",
    "InsufficientOutput": "the AMM pair cannot give that; ask for more than nothing and less than it has",
    "InvalidReceiver": "an AMM pair, its router and its tokens cannot be the receiver",
    "ReserveOverflow": "the amount is too big for an AMM pair",
    "TooLittleOut": "less would come out than you accept (comes out, your minimum)",
    "TooMuchIn": "more would go in than you accept (goes in, your maximum)",
    "TooLittleIn": "the AMM pair's price lets less of a token in than you accept (goes in, your minimum)",
    "UnknownPool": "this token has no AMM pair",
    "AccessControlUnauthorizedAccount": "this key does not have the role that is needed (account, role)",
    "ReentrancyGuardReentrantCall": "the contract was called again from within its own call",
    "SafeCastOverflowedUintDowncast": "the amount is too big",
    "SafeERC20FailedOperation": "the token refused the transfer",
    "ERC20InsufficientAllowance": "the token's allowance is too small (spender, allowance, needed): approve more",
    "ERC20InsufficientBalance": "the wallet has too few tokens (wallet, balance, needed)",
}


THE_TIME = "the time given"
"""In a sentence: the error's one argument, in Unix seconds."""
TIME_MAX = 2**40
"""A year beyond 30,000 is a slip of whoever sent it, and shown as it is."""


def explain(payload: bytes) -> str:
    """Revert data in words: the error as the contract named it, and its sentence, with a time as people read it."""
    text = ERRORS.explain(payload)
    sentence = SENTENCES.get(text.partition("(")[0])
    if not sentence:
        return text
    _, arguments = ERRORS.find(payload)
    if THE_TIME in sentence and arguments[0] < TIME_MAX:
        sentence = sentence.replace(THE_TIME, time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(arguments[0])))
    return f"{text}: {sentence}"
