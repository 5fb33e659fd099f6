"""`python -m layerkit` is the command `layerkit`."""

from layerkit.cli.main import main

main()
