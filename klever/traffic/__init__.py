"""How a Serving divides its requests: header matches, shares, and rebalancing around predictors that are down.

Everything here is pure and takes predictors as they stand in `spec.predictors` of a valid Serving.
"""
