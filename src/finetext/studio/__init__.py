"""Annotation, training and use in one local page."""
