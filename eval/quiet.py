"""Other people's bars, warnings and log lines, off while ours run: progress has one voice, the port."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LOGGERS = ("lm_eval", "transformers", "datasets", "peft", "accelerate")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the libraries of evaluation for the length of a block, and leave them as they were."""
    from transformers.utils import logging as transformers_logging

    bars: Any = transformers_logging
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    shown = bars.is_progress_bar_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _set_levels(dict.fromkeys(LOGGERS, logging.ERROR))
        bars.disable_progress_bar()
        try:
            yield
        finally:
            _set_levels(levels)
            if shown:
                bars.enable_progress_bar()


def _set_levels(levels: dict[str, int]) -> None:
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
