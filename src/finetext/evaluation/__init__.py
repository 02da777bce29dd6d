"""How good a classifier is, computed from its predictions alone."""
