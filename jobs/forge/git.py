"""To come with the first thin thread."""
