"""Kubeflow components, one file each, named as the stage that they call.

Imported when pipelines are compiled and in tests, never inside a container: the body of a component
travels as text, so each one imports what it needs, and its defaults are literals that a test
compares with the stage's configuration class.
"""
