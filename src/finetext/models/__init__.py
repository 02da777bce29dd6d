"""The model folder: saved, loaded, described, shared, exported."""
