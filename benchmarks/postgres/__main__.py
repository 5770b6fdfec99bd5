"""``python -m benchmarks.postgres``."""

from __future__ import annotations

from benchmarks.postgres.run import main

if __name__ == "__main__":  # the workers' processes import this module too
    main()
