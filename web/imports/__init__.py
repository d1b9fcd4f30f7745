"""Pages that import files."""
