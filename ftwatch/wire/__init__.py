"""Pure readers for dialects that several kinds of provider speak; above the core, below the providers."""
