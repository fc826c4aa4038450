"""The overview context: a read model of what there is to be had, and of what has become of orders."""
