"""Klever: the model platform, from a model file to inference traffic.

Sub-packages are layers; imports go downwards only (see .importlinter and docs/architecture.md).
"""

__version__ = "0.1.0"
