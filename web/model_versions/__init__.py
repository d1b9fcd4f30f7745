"""Pages on model versions and trainings."""
