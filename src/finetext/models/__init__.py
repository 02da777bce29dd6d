"""The model folder: saved, loaded, described, shared, exported; called, it is `finetext.models()`.

The package has the name of the public function that lists the encoders. Python makes a package an
attribute of the one above it, so the package itself has to be what can be called.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from finetext.encoders.model_table import models as models


class _CallablePackage(ModuleType):
    """A package that is called, copied and sent to other processes like a function."""

    __call__ = staticmethod(models)

    def __reduce__(self) -> tuple[Any, ...]:
        return import_module, (self.__name__,)

    def __dir__(self) -> list[str]:
        hidden = {"ModuleType", "_CallablePackage", "Any", "import_module", "sys"}
        return sorted(vars(self).keys() - hidden)


sys.modules[__name__].__class__ = _CallablePackage
__doc__ = models.__doc__ or __doc__
__wrapped__ = models  # where `inspect.signature` looks
