"""The orders context: an order is confirmed once what it asks for is set aside for it."""
