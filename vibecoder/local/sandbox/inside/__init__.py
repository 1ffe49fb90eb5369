"""What runs inside a sandbox, under the sandbox's own Python: standard library only.

It is copied beside the toolchain and started by box.py; nothing outside imports it.
"""
