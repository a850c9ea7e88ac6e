"""How the tables of request records came to be, step by step (Alembic)."""
