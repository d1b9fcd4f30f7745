"""Turns human decisions into a new model version."""

from sortline.small_matrices import use_one_thread

use_one_thread()
