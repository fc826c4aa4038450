"""The pure core of Satoshi Spark: decisions over values, standard library only, no clock, no I/O."""
