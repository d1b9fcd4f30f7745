"""Pages of what is undecided, grouped by likeness."""
