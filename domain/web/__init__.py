"""The pages of Satoshi Spark for people who give, and for those whom they give to."""
