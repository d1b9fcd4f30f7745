"""How a worker's process ends when it can't go on."""

import logging
import os
from typing import NoReturn

log = logging.getLogger(__name__)

_EXIT_CODE = 70


def end_process(why: str, exc_info: bool = False) -> NoReturn:
    """End the process at once. What it holds stays pending, and another worker takes it over."""
    log.critical("%s; the process ends", why, exc_info=exc_info)
    logging.shutdown()
    os._exit(_EXIT_CODE)
