"""Loads warp's kernels, which are compiled once on each machine and kept beside the body model."""

from types import ModuleType
from typing import Any

import warp

from render_consumers.painting.body.preparation import cache_dir

wp: Any = warp  # its types say what kernels are made of, not how they are called


def load(modules: tuple[ModuleType, ...], *devices: str) -> None:
    """Have the modules' kernels at hand; the first time on a machine that takes seconds."""
    wp.config.log_level = wp.LOG_ERROR  # it warns of every machine without a GPU
    wp.init()
    folder = cache_dir() / "kernels" / str(wp.__version__)
    folder.mkdir(parents=True, exist_ok=True)
    wp.config.kernel_cache_dir = str(folder)  # whoever has initialised warp before
    for device in dict.fromkeys(devices):
        for module in modules:
            wp.load_module(module, device=device)
