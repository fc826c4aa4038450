"""The edge of the dashboard context: how what it decides and knows reaches the outside."""
