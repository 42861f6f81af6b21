"""midframe: video frames at any time. Public names, loaded when first used, so that importing costs nothing."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from midframe.api import between, interpolate, predict, track, upscale
    from midframe.engine.job import InterpolateJob, Result, Tracked
    from midframe.errors import MidframeError
    from midframe.models.load import load as load_model

__version__ = "0.1.0"

_HOMES = {
    "interpolate": "midframe.api",
    "between": "midframe.api",
    "predict": "midframe.api",
    "upscale": "midframe.api",
    "track": "midframe.api",
    "load_model": "midframe.models.load:load",
    "InterpolateJob": "midframe.engine.job",
    "Result": "midframe.engine.job",
    "Tracked": "midframe.engine.job",
    "MidframeError": "midframe.errors",
}
__all__ = [
    "InterpolateJob",
    "MidframeError",
    "Result",
    "Tracked",
    "__version__",
    "between",
    "interpolate",
    "load_model",
    "predict",
    "track",
    "upscale",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'midframe' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(module), attribute or name)


def __dir__() -> list[str]:
    return sorted(__all__)
