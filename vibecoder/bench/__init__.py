"""`vibecoder bench`: how fast and how heavy the service is, from its real processes over sockets.

One file per measure, each with a `measure` that returns rows; what a figure holds and what not
stands at the top of its file. Nothing here passes or fails.
"""
