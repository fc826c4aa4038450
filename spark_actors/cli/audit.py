"""`spark-actors audit`: whether every satoshi is accounted for and nothing is stuck."""
