"""Off-chain half of the exchange. Imports point inward: gateway, sequencer, chain, storage, engine, domain."""

__version__ = "0.2.0"
"""What the next release is called: the topmost of CHANGELOG.md."""
