"""Hurts a daemon under load on purpose, again and again, and holds what it did against what it was asked for."""
