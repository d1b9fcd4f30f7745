"""Tables, queries and sessions of the Postgres database."""
