"""A plugin for Klever: linear models in a format of their own, `y = slope · x + intercept`."""

KLEVER_API = 1
"""The version of Klever's contracts that this package is written for."""
