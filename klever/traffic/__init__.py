"""Divides the requests of a Serving: header matches, shares, and rebalancing around predictors that are down.

All functions are pure, and take predictors from `spec.predictors` of a valid Serving.
"""
