"""Sign-ups: who has an account under which name."""
