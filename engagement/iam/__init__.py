"""Reaching a database of RDS by the machine's role: Django's PostgreSQL, whose password is a token that is made anew for each quarter of an hour."""
