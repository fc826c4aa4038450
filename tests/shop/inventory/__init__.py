"""The inventory context: what there is of each item, and what of it is set aside."""
