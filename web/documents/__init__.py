"""Pages on documents: search, history, decisions on many, export."""
