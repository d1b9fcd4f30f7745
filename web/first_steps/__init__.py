"""The list of first steps, and where people land after they have signed in."""
