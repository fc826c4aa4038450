"""What the daemon starts: the folder, and the descriptor of the socket, are its arguments."""

import sys
from pathlib import Path

from spark_actors.web.server import kept_by_daemon

if __name__ == "__main__":
    kept_by_daemon(Path(sys.argv[1]), int(sys.argv[2]))
