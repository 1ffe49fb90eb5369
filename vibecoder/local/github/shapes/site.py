"""Where the links in a body point: the same world is served at / and at /api/v3."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vibecoder.local.github.world import World

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Site:
    """The world, and the roots of its API and of its pages (both without a final slash)."""

    world: World
    api: str
    html: str


def site_of(world: World) -> Site:
    """For payloads, which no request asked for."""
    return Site(world, f"{world.base_url}/api/v3", world.base_url)


def node(prefix: str, identity: int) -> str:
    """A node id; opaque, and unique by kind."""
    packed = base64.urlsafe_b64encode(identity.to_bytes(6, "big")).decode()
    return f"{prefix}_kwDO{packed}"
