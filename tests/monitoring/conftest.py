"""Looks for drift are tested with trainings too."""

from tests.trainer.conftest import import_lines, settings, tiny_base, train_now

__all__ = ["import_lines", "settings", "tiny_base", "train_now"]
