"""Programs of the package: `python -m zeroshot_client evaluate|tune`."""

from __future__ import annotations

import sys

from zeroshot_client.command import main

sys.exit(main())
