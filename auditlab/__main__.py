"""``python -m auditlab`` is the command ``auditlab``."""

from auditlab.cli import main

if __name__ == "__main__":
    main()
