"""REST and WebSocket: from the wire to commands, and from events to the wire.

Invariant: the gateway decides who signed and how much may be asked; whether it is allowed is the engine's decision. It
keeps nothing that the feed cannot rebuild, never talks to the chain and never writes a database.
"""
