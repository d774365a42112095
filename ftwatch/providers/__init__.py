"""Kinds of provider, one file each: how to ask a fine-tuning service, and what its bytes mean.

A kind imports `ftwatch.client`, `ftwatch.plugins`, `ftwatch.wire` and `ftwatch.core`; nothing imports a kind:
each is found by its entry point.
"""
