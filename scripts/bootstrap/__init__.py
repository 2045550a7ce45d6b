"""Makes the environments of this checkout; standard library only, because it runs before anything is installed."""
