"""The objects: kinds, names and the codec between messages and Kubernetes JSON.

Forbidden here: grpc, stores, and input/output beyond package data.
"""
