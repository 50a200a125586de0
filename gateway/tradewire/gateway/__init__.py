"""HTTP in and out: publish events, ask the history, see the health of every part."""

from tradewire.gateway.app import create_app

__all__ = ["create_app"]
