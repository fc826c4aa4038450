"""Campaigns and the donations that they collect."""
