"""The store: unit of work, repositories, outbox, inbox and saga log on Postgres and in memory. Only psycopg user."""
