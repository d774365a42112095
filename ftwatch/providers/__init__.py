"""One file a kind of provider: bytes to Snapshot. Found by name through entry points, imported by nobody."""
