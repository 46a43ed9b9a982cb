"""`klever`: the platform from a shell.

A verb is a module with `EXAMPLES`, `add_arguments(parser)` and `run(args) -> exit code`, and a row in the table of
`klever.cmd.main`, which also has the verbs that run parts of the platform (`up`, `down`, …). Modules of verbs are
imported on use, so that a command starts fast.
"""
