"""`python -m vibecoder`, the same as the `vibecoder` command."""

from vibecoder.cli import main

main()
