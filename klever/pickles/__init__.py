"""Reads pickles as data: the globals that they name, and their plain values, without executing anything.

`reader.read_pickle` follows the opcodes of protocols 0 to 5 on a machine whose values are symbols. Nothing is imported
or called. The package also reads compressed streams in bounded steps (`streams`). Forbidden here: `pickle.load`,
importing a name from a pickle, and trusting a size that a file states.
"""
