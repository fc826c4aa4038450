"""The laboratory: what measures a daemon and what hurts it, on purpose and from outside. No part of the product."""
