"""The built-in Postgres, NATS and Ray node for a machine that has none of them."""
