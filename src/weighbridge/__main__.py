"""`python -m weighbridge`: the command line."""

from weighbridge.cli.main import main

if __name__ == "__main__":
    main()
