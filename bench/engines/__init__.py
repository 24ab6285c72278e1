"""Every engine under comparison behind one face, `Adapter`; `load` imports only the one that is asked for."""

from __future__ import annotations

import importlib

from bench.engines.adapter import Adapter
from bench.operations import Workload

HOOATS = "hooats"
PEERS = (
    "order-matching",
    "pyorderbook",
    "lightmatchingengine",
    "akhil4n-orderbook",
    "cython-orderbook",
    "bourse",
    "redis",
)
SMALL = ("order-matching",)
"""Costs grow with the number of orders: compared on a small workload of their own, on which HOOATS is played, too."""
BY_WALL = ("redis",)
"""Work in another process: compared by wall time instead of the time of their own process."""


def load(name: str, workload: Workload) -> Adapter:
    """ImportError, or `adapter.Absent`, if it is not installed here."""
    module = importlib.import_module(f"bench.engines.{name.replace('-', '_')}")
    adapter: Adapter = module.Engine(workload)
    return adapter
