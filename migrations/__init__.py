"""Alembic migrations of the Postgres database."""
