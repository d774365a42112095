"""The other side: a scripted provider, and receivers that show what arrives. For the demo and for tests.

`script` says how jobs live (pure), `upstream` serves them in OpenAI's wire format, `receivers` are the other
ends of webhooks, mail and Slack, `demo` tells a story with all of them around the real daemon.
"""
