"""The functional core: PURE. No await, no clock, no randomness, no I/O, no logging (a contract checks it).

Time, random numbers and what is known so far come in as arguments; facts go out as values.
The files stack: job → diff → event → {rule, route, delivery, message} → decide.
"""
