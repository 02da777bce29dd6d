"""From any source of labeled text to frozen splits."""
