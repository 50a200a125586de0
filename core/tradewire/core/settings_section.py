"""What all sections of the settings have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Frozen, and closed: a key that it does not have is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
