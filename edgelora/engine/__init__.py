"""The engine: one base, one rank pool, a mask a token, many sequences.

What other rooms use is in :mod:`edgelora.engine.client`; it imports nothing native.
"""
