"""One file a kind of notifier: Event to bytes. Found by name through entry points, imported by nobody."""
