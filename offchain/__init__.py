"""Off-chain half of the exchange. Imports point inward: gateway, sequencer, chain, storage, engine, domain."""

__version__ = "0.1.0"
