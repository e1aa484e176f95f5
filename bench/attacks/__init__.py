"""A corpus of harmless attack files over every class that a model scanner should know. `python -m attacks FOLDER` writes it."""
