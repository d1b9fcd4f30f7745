"""The page on how people are doing."""
