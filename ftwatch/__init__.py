"""ftwatch watches language-model fine-tuning jobs and tells people and programs about every change.

The names a plug-in author needs stand in `ftwatch.plugins` and `ftwatch.core`.
"""

__version__ = "0.1.0"
