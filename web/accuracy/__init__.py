"""The page on live accuracy."""
