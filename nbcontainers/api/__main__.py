"""``python -m nbcontainers.api serve``: see ``serve``."""

import sys

from nbcontainers.api.serve import main

if __name__ == "__main__":
    sys.exit(main())
