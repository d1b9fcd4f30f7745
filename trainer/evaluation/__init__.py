"""How good a model is, what it may accept, and whether it may be promoted."""
