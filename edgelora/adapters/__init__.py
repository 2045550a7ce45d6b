"""The library of adapters on disk: names, paths, hashes, and the text form of a selection."""
