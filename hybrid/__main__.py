"""``python -m hybrid``: the command line."""

from hybrid.cli import main

main()
