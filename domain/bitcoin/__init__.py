"""Deposits and withdrawals over the Lightning network."""
