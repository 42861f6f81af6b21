"""`python -m midframe` is `midframe`."""

from midframe.cli.main import main

if __name__ == "__main__":
    main()
