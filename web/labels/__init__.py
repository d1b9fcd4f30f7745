"""Pages on labels."""
