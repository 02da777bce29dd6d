"""finetext on a Ray cluster: `Predictor` for Ray Data, `Deployment` for Ray Serve.

Examples:
    data.map_batches(finetext.ray.Predictor, fn_constructor_kwargs={"model": "runs/reviews"}, ...)
    serve.run(finetext.ray.Deployment.bind("runs/reviews"))

"""

from typing import Any

from finetext.batch.predictor import Predictor

__all__ = ["Deployment", "Predictor", "build_app"]

Deployment: Any


def __getattr__(name: str) -> Any:
    if name != "Deployment":
        raise AttributeError(f"module 'finetext.ray' has no attribute {name!r}")
    from finetext.serving.ray_serve import deployment

    return globals().setdefault(name, deployment())


def build_app(args: dict[str, Any]) -> Any:
    """Return the application of `serve run finetext.ray:build_app model=FOLDER` and Serve files."""
    return __getattr__("Deployment").bind(**args)
