"""The version of cbp, where everything can read it: model files tell who wrote them."""

__version__ = "0.1.0"
