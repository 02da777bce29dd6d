"""The model folder: saved, loaded, described, shared, exported; called, it is `finetext.models()`.

The package has the name of the public function that lists the encoders. Python makes a package an
attribute of the one above it, so the package itself has to be what can be called.
"""

import sys
from types import ModuleType

from finetext.encoders.model_table import models as models


class _CallablePackage(ModuleType):
    """A package that is called like a function."""

    __call__ = staticmethod(models)


sys.modules[__name__].__class__ = _CallablePackage
__doc__ = models.__doc__ or __doc__
__wrapped__ = models  # where `inspect.signature` looks
