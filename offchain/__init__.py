"""Off-chain half of the exchange. Imports point inward: gateway, sequencer, chain, storage, engine, domain."""
