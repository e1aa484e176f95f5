"""Chat templates: parsed and walked, never rendered, for what they reach and for what makes them say something else."""
