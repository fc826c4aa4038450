"""The edge of the accounting context: how what it decides and knows reaches the outside."""
