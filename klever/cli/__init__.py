"""The command lines `klever` and `ormb`: one module per verb, which calls the libraries.

Verbs are imported when they are called, so that a command starts fast. Only this layer reads environment variables and
prints messages.
"""
