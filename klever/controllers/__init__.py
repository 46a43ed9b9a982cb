"""Controllers: one module per kind. Gather does all input/output and returns a plain snapshot, decide is pure (the
clock is passed in) and returns actions and status, apply executes. Children have deterministic names.
"""
