"""Satoshi Spark on actors: the Satoshi Spark domain as a daemon, on Ray actors over Postgres and a message queue."""
