"""What the words mean: units, market, order, command, event, batch, canonical bytes, limits and errors.

Invariant: pure. No clock, socket, disk, random or logging is imported here, and nothing here decides anything.
"""
