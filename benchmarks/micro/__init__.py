"""Microseconds, side by side with what a user might pick instead: ``python -m benchmarks.micro``.

Three questions: what a decision costs beside a rules engine, what reading a stored result costs beside a validation
library, and what the machinery around one call costs beside a retry library. Every contestant is measured in the same
run, in turns, so that whatever else the machine does hits all of them alike.
"""
