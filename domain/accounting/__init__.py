"""Accounts and the double-entry ledger: where every satoshi is."""
