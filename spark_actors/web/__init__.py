"""The web pages: what all applications have of them. A producer and asker at the broker, with no rights of its own."""
