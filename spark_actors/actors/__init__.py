"""The actors: each a plain class that runs without Ray; `ray_actors` and `references` alone make Ray calls."""
