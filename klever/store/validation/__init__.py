"""Validation and defaults from the generated CRDs, as in the API server: prune, default, check, CEL rules.

Messages and field paths follow Kubernetes. A corpus of valid and invalid objects tests that both stores agree.
"""

from klever.store.validation.admission import SchemaAdmission

__all__ = ["SchemaAdmission"]
