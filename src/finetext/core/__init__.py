"""What every layer shares: types, errors, settings, the registry, and the contracts of a method."""

from typing import Final

__version__: Final = "0.1.0"
