"""The way in: the port to a message broker, and one module per broker."""
