"""Faults on purpose: what tests ask of a daemon that was started with `faults.enabled`, and how it obeys."""
