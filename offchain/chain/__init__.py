"""The chain as the rest sees it: JSON-RPC, calls and logs of the contracts, transactions, log watcher, registry.

Invariant: what a node answers is checked before it is believed, and nothing is sent that was not kept first. Nothing
here decides what should be on the chain; that is the engine's and the keepers' work.
"""
