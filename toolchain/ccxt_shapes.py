"""Writes tests/offchain/client/ccxt_shapes.json: what ccxt says of its unified structures, errors and features.

Run it with a Python that has ccxt (`pip install ccxt` into an environment of its own; neither the product nor its tests
need it): `python toolchain/ccxt_shapes.py > tests/offchain/client/ccxt_shapes.json`.
"""

import importlib
import json
import sys
from typing import Any

STRUCTURES = ("MarketInterface", "MarketLimits", "Precision", "CurrencyInterface", "FeeInterface", "Balance")
STRUCTURES += ("Order", "Trade", "Ticker", "OrderBook")
LIKE = "hyperliquid"
"""The exchange whose `features` stand for the shape."""


def main() -> int:
    ccxt = importlib.import_module("ccxt")
    types = importlib.import_module("ccxt.base.types")
    errors = importlib.import_module("ccxt.base.errors")
    shapes = {
        "version": ccxt.__version__,
        "structures": {
            name: {field: words_of(kind) for field, kind in getattr(types, name).__annotations__.items()}
            for name in STRUCTURES
        },
        "errors": parents_of(errors.error_hierarchy),
        "features": keys_of(getattr(ccxt, LIKE)().features["spot"]),
        "statuses": ["open", "closed", "canceled", "expired", "rejected"],
    }
    json.dump(shapes, sys.stdout, indent=1)
    print()
    return 0


def words_of(kind: Any) -> str:
    return getattr(kind, "__name__", None) or str(kind).replace("typing.", "")


def parents_of(tree: dict[str, Any], parent: str = "") -> dict[str, str]:
    """Class name -> name of its parent."""
    found: dict[str, str] = {}
    for name, children in tree.items():
        found[name] = parent
        found |= parents_of(children, name)
    return found


def keys_of(features: dict[str, Any]) -> dict[str, list[str]]:
    return {name: sorted(value) if isinstance(value, dict) else [] for name, value in features.items()}


if __name__ == "__main__":
    raise SystemExit(main())
