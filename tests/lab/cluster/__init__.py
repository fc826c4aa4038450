"""A cluster on one machine: a head and nodes, each at a loopback address of its own, and what can be done to them."""
