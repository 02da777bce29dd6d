"""From a recipe and data to a finished run folder."""
