"""The rules of activations, losses and optimizers in plain Python, on one number at a time.

Nothing here is shared with the compiled core, so the two can be compared.
"""

from cbp.trace.rules.activations import ACTIVATION_RULES
from cbp.trace.rules.losses import FUSED_RULES, LOSS_RULES, TINY, Constants
from cbp.trace.rules.optimizers import OPTIMIZER_RULES

__all__ = ["ACTIVATION_RULES", "FUSED_RULES", "LOSS_RULES", "OPTIMIZER_RULES", "TINY", "Constants"]
