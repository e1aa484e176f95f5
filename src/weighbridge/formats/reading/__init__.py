"""What every reader builds on: a bounded source, spans that account for bytes, and the contract of a unit."""
