"""Wire dialects: pure parsers that several kinds of provider share. Bytes in, canonical jobs out.

No I/O, no clock, no logging: what a dialect's words mean is said here, how to ask for them in `providers`.
"""
