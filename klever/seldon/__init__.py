"""SeldonDeployments, as users of Klever's predecessor have them: reads one, and returns the Serving that replaces it.

Every field is either part of the Serving, or reported with its path: a warning if the Serving serves without it, an
error if it does not. A `Section` reports the fields that nothing reads, so a new field of Seldon is never lost.
"""
