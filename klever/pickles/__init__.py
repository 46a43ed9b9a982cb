"""Pickles read as data: which globals they name, and the plain values in them, without executing anything.

`reader.read_pickle` follows the opcodes of protocols 0 to 5 on a machine whose values are symbols. Nothing is imported
or called. The package also reads compressed streams in bounded steps (`streams`). Forbidden here: `pickle.load`, an
import of what a pickle names, and trust in a size that a file states.
"""
