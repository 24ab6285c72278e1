"""The client's tests use the gateway's venues."""

import importlib.util
import sys
from pathlib import Path

GATEWAY = Path(__file__).parents[1] / "gateway"
sys.path.insert(0, str(GATEWAY))

_specification = importlib.util.spec_from_file_location("gateway_venues", GATEWAY / "conftest.py")
venues = importlib.util.module_from_spec(_specification)
sys.modules["gateway_venues"] = venues
_specification.loader.exec_module(venues)

start_venue = venues.start_venue
start_real_venue = venues.start_real_venue
engine_venue = venues.engine_venue
venue = venues.venue
real = venues.real
