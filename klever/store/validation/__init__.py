"""Validation and defaults by the generated CRDs, as the API server does them: prune, default, check, CEL rules.

Messages and field paths follow Kubernetes; a corpus of good and bad objects holds both stores to the same verdicts.
"""

from klever.store.validation.admission import SchemaAdmission

__all__ = ["SchemaAdmission"]
