"""The pure machine: (state, command) -> events. Book, matching, ledger, fills, nonces, merkle trees, `Engine.apply`.

Invariant: no clock, socket, disk, random or logging; only `Engine.apply` changes state; the same commands give the
byte-identical state hash. What is signed by whom is decided before (gateway), what is durable after (sequencer).
"""
