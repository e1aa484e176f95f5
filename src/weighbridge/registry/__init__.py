"""The store: evidence and blobs by digest, the append-only log, and the index over them."""
