"""All layers, in the order of the documentation: whatever a family lists in its ``__all__`` is a layer of cbp.

What depends on the list derives from it: ``cbp.layers.LAYERS``, what ``cbp`` offers, the kinds of a model file.
"""
# ruff: noqa: F403
# isort: skip_file

from cbp.layers.dense import *
from cbp.layers.prelu import *
from cbp.layers.convolution import *
from cbp.layers.pooling import *
from cbp.layers.recurrent import *
from cbp.layers.embedding import *
from cbp.layers.shape import *
from cbp.layers.residual import *
from cbp.layers.normalization import *
from cbp.layers.noise import *
