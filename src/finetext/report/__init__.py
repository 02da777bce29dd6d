"""What a run found, for the terminal, as HTML and as JSON."""
