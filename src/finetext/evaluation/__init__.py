"""How good a classifier is, from its predictions alone."""
