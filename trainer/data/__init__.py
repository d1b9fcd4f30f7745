"""Labelled documents: imported, split, frozen for a training."""
