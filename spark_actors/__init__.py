"""A daemon that processes the messages of an application: on Ray actors, over Postgres and a message queue."""
