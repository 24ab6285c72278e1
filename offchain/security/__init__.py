"""Signatures, keys and rate limits.

Invariant: nothing here keeps state between calls except what the caller hands in, and no key is ever printed.
"""
