"""What every controller stands on: the work queue, the runner and conditions. Knows no kind.

Level-triggered: an event only names a key; reconciling looks at the world. Lost, doubled or reordered events change
nothing. One worker per key at a time; a failed reconcile is tried again with exponential backoff, and many keys
together no faster than ten a second.
"""
