"""What people and Prometheus see of the running system: metrics, their HTTP endpoint, and logs."""
