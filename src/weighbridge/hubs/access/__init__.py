"""What every hub is and shares: the contract, references, walking a folder, talking to a server."""
