"""The operators' console: what waits, what failed and what can be done about it, for every application."""
