"""Satoshi Spark on actors: a daemon that runs the Satoshi Spark domain on Ray actors over Postgres and a message queue."""
