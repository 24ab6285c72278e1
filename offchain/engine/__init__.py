"""The pure machine: (state, command) -> events. Only `Engine.apply` changes state.

Invariant: the same commands give the byte-identical state hash; no clock, disk, socket, random or logging is here.
"""
