"""Producers that put a daemon under load."""
