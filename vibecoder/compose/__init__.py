"""Builds the processes from settings: the only place that knows every room."""
