"""`python -m kerneld`: the command line."""

from kerneld.cli.main import main

if __name__ == "__main__":
    main()
