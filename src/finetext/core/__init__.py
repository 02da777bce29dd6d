"""What every layer shares: types, errors, settings, the registry, and the contracts of a method."""

__version__ = "0.2.0"

STATE_VERSION = "0.1.0"
"""The first version whose unfinished work this one continues."""
