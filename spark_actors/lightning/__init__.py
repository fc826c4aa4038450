"""The Lightning node: adapters of its port, and the worker that asks it and turns its answers into commands."""
