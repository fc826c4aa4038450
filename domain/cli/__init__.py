"""What Satoshi Spark adds to the command line: a demo, logging in, hashing a password."""
