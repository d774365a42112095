"""`python -m ftwatch`."""

from ftwatch.cli import main

if __name__ == "__main__":
    main()
