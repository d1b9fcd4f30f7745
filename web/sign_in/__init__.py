"""Sign-in, second factors and a person's own account."""
