"""Entry of `python -m scripts.local_services`."""

from scripts.local_services.cli import main

main()
