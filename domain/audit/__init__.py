"""What operators have checked across the contexts of Satoshi Spark."""
