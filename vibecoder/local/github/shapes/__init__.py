"""Bodies of answers and webhook payloads, complete enough for clients with strict models.

The field lists follow GitHub's OpenAPI description, whose schemas the docstrings name; a field
that this world has no state for is there with the value it has on a plain repository.
"""
