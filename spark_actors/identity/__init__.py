"""Who somebody is: tokens, the keys that sign them, and logging in."""
