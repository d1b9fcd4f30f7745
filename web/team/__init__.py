"""The page on how people do."""
