"""When a message counts as one that kills its process."""

from __future__ import annotations

DEADLY_DEATHS = 3
"""After so many deaths of an actor under one and the same message, or batch, it is taken to be why."""
KILLED_ITS_PROCESS = "killed_its_process"
"""Why such a message fails."""
