"""The base of every config section. A leaf."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A config section: frozen, and a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
