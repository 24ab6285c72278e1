"""The main job: a whole exchange on one machine, from keys and contracts to proofs and exits.

Everything in it is the real thing: a chain, the deploy script, the node's and keepers' processes, signed orders over
HTTP and WebSocket. Invariant: exit status 0 only if every claim of the report was checked and held.
"""
