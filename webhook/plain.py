"""Text from outside, made safe for every encoder behind the door. Pure."""

# Tabs and line breaks stay. NUL would end a commit message, and the rest shows nowhere.
_CONTROLS = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127))


def plain(text: str) -> str:
    """`text` without control characters; half a surrogate pair, which JSON allows, becomes "?"."""
    return text.encode("utf-8", "replace").decode().translate(_CONTROLS)
