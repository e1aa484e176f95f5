"""Rules as data, and what they say about a model for one use."""
