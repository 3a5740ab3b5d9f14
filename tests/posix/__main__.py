"""The command `python -m tests.posix DIR`."""

import sys

from tests.posix.runner import main

sys.exit(main())
