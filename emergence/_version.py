"""The version of the distribution, stated here alone."""

__version__ = "0.1.0"
