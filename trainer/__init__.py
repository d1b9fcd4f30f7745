"""Turns human decisions into a new model version."""
