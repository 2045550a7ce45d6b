"""``bench load``: the same stream of requests against edgelora or another server."""
