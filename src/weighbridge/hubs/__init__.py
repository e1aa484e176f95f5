"""Where a model comes from: one hub a file, each a `HUB`."""
