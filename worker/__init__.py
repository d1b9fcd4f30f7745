"""The document queue, and the process that empties it."""
