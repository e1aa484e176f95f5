"""How a pickle is judged without being loaded: decoding, an abstract machine, and an enumerated allowlist."""
