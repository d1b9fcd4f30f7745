"""The checks of `sortline doctor`; each imports what it checks, so that it can report what is missing."""
