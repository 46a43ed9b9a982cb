"""The rollout drill: random sequences of changes and faults, after which what was Ready once still serves."""
