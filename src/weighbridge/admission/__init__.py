"""The story: taking a model in, deciding, recording, and everything that is asked of a decision afterwards."""
