"""Human decisions to a new model version."""
