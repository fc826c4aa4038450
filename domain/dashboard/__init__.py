"""Read models: what people see of everything that happened."""
