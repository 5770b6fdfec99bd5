"""``python -m benchmarks.micro``."""

from __future__ import annotations

from benchmarks.micro.run import main

if __name__ == "__main__":
    main()
