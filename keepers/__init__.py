"""Daemons between the exchange's databases and the chain: sync, settle, commit, relay.

Invariant: each is observe → decide (pure) → act (idempotent), and may be killed at any time. They share the ops
database, the registry and their keys with the rest, nothing else: none imports the gateway, sequencer or projector.
"""
