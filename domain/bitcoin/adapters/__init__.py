"""The edge of the bitcoin context: how what it decides and knows reaches the outside."""
