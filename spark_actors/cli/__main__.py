"""`python -m spark_actors.cli`: the command line without its script."""

from spark_actors.cli import main

main()
