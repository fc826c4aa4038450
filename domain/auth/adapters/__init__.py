"""The edge of the auth context: how what it decides and knows reaches the outside."""
