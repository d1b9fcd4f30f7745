"""Pages on documents: search, history, decisions on many at once, export."""
