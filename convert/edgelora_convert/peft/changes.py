"""What the readers of the PEFT types get and give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from edgelora_convert.options import MoeBLayout
from edgelora_convert.peft.fields import Fields
from edgelora_convert.peft.tensors import Parts
from edgelora_convert.problems import Problems
from edgelora_convert.update import Pending, Update, Whole

Change = Update | Pending | Whole
ReadModule = Callable[[str, Parts], Iterable[Change]]
"""Makes changes of the parameters of one module. Raises UnusableError."""


@dataclass(frozen=True)
class Adapter:
    """A configuration with the tensors of all its modules, before they are read."""

    fields: Fields
    modules: Mapping[str, Parts]
    warnings: Problems
    moe_b_layout: MoeBLayout = "peft"

    def compare_rank(self, module: str, configured: int, actual: int) -> None:
        """Warn where configuration and weights disagree."""
        if configured != actual:
            self.warnings.add(
                module, f"the configuration says rank {configured}, the weights have {actual}, which counts"
            )

    def check_size(self, update: Update) -> Update:
        """The update, with a warning where a smaller one could be the same."""
        n_out, n_in = update.b.shape[0], update.a.shape[1]
        if update.rank > min(n_out, n_in):
            self.warnings.add(update.module, f"its rank {update.rank} is larger than the matrix can use")
        elif update.rank * (n_out + n_in) > n_out * n_in:
            self.warnings.add(update.module, f"its exact rank {update.rank} takes more space than the weight itself")
        return update
