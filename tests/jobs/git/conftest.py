from git_world import bare, checkout, server

__all__ = ["bare", "checkout", "server"]
