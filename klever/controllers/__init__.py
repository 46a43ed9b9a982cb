"""Controllers: one module per kind.

Gather does all input and output and returns a plain snapshot. Decide is pure, takes the time as an argument, and
returns actions and status. Apply executes the actions. Children have deterministic names.
"""
