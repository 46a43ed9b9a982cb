"""The foundation of controllers: the work queue, the runner and conditions. It knows no kind.

It is level-triggered: an event only names a key, and reconciling reads the current state. Lost, duplicate or reordered
events do no harm. Each key has one worker at a time. A failed reconcile is retried with exponential backoff, and all
keys together at most ten times a second.
"""
