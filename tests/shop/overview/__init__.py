"""The overview context: a read model of what there is to be had."""
