"""What every layer shares: types, errors, settings, the registry, and the contracts of a method."""

__version__ = "0.2.0"
