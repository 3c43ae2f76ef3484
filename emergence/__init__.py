"""The command line ``emergence``."""
