"""How each kind of service speaks: one file a kind, found by its name.

Here live only the shapes of answers. What happens to a job, and when, is `script`'s; that the service is
slow, busy or broken is `upstream`'s.
"""
