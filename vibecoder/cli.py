"""The command line: verbs only; each imports what it needs when it is called."""

import typer

main = typer.Typer(no_args_is_help=True, add_completion=False)
