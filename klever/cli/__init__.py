"""The command lines: `klever` and `ormb`, a module per verb over library calls.

Verbs are imported when they are called, so that a command starts fast. Here environment variables are read and people
are told things; the layers below do neither.
"""
