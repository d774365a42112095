"""The other side: scripted providers, and receivers that show what arrives. For the demo and for tests.

`script` says how jobs live (pure), `upstream` serves them as one of the `dialects` speaks, `receivers` are
the other ends of webhooks, mail and Slack, `demo` tells a story with all of them around the real daemon.
"""
