"""Samplers of online SGD, and what they draw from."""
