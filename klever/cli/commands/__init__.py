"""`klever`: the platform from a shell.

A verb is a module with `EXAMPLES`, `add_arguments(parser)` and `run(args) -> exit code`, and a row in a table; what
runs parts of the platform itself (`up`, `down`, …) has its rows in `klever.cmd.main`. Modules of verbs are imported on
use: starting fast is a promise.
"""
