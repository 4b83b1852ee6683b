"""Kubeflow pipelines: how the components follow each other.

A parameter cannot be null in Kubeflow's local runner: an empty text or -1 says "not given".
"""
