"""Fine-tuning on Nebius Token Factory.

A job there does not name the model it made: that is the `fine_tuned_model_checkpoint` of its last checkpoint,
which stands in the part `checkpoints` of its log.
"""

from typing import ClassVar

from ftwatch.client.api import Api, ApiOptions
from ftwatch.client.openai import Relative, key_of
from ftwatch.plugins import ProviderSpec
from ftwatch.wire.dialect import NEBIUS

__all__ = ["Nebius"]


class Nebius(Relative):
    """A project on Nebius Token Factory."""

    Options: ClassVar[type] = ApiOptions
    key_variable: ClassVar[str] = NEBIUS.variable
    model_from_checkpoint: ClassVar[bool] = True

    def __init__(self, spec: ProviderSpec) -> None:
        options: ApiOptions = spec.options
        base = options.base_url or str(NEBIUS.home)
        auth = key_of(options.api_key, base, NEBIUS)
        super().__init__(spec, Api(spec, base, auth, timeout=options.timeout), NEBIUS)
