"""The demo: a story told to a running daemon, checked against what it should come to."""
