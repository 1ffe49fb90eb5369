"""The REST API: one file per resource; call.py is what their handlers share."""
